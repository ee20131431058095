"""The network's door: trained runs behind an API that OpenAI's clients understand, and a page.

It parses, calls the library, and answers; `engine` writes for all clients at once, `guard` decides
who may ask, `app` puts the routes together, `serving` listens. The extra `serve` brings what it
imports; nothing else imports it but `cli.serve`.
"""

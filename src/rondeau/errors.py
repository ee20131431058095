"""What can go wrong, as one tree.

    RondeauError                 exit code 1
    ├── UserError                exit code 2: the user can mend it
    │   ├── OptionError          an option or setting with an impossible value
    │   ├── CorpusError          a text that cannot be read or used
    │   ├── RunError             a run folder that is missing, damaged or of another kind
    │   └── UnsupportedError     a request that this model or backend cannot serve
    └── TrainingError            training cannot go on (a non-finite loss, a full disk)
        └── PeerError            another of its processes failed, and tells why itself

Every message is one line that names the option or file, the value and the remedy.
"""


class RondeauError(Exception):
    """Any error that Rondeau raises on purpose."""

    exit_code = 1


class UserError(RondeauError):
    """A mistake in what was asked: nothing was written or harmed."""

    exit_code = 2


class OptionError(UserError):
    """An option or setting with an unknown or impossible value."""


class CorpusError(UserError):
    """A text that is missing, unreadable, empty or too small."""


class RunError(UserError):
    """A run folder that is missing, damaged, or of another kind than asked for."""


class UnsupportedError(UserError):
    """A request that this model or backend cannot serve; the message names what can."""


class TrainingError(RondeauError):
    """Training cannot go on; the last good checkpoint stays."""


class PeerError(TrainingError):
    """Another process of the same training failed, and tells why: once is enough."""

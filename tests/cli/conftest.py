"""The command line in this process."""

import pytest

from rondeau.cli import main


@pytest.fixture
def rondeau(capsys):
    """Run a command line in this process: exit code, standard output, standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run

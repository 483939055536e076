"""A session without a terminal: texts from -c, a file or a pipe, one after the other."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import KidError, fault
from kidtui.repl.session import LeaveError, Session


def run(session: Session, texts: Iterable[str]) -> int:
    """Does what the texts ask for; a failure is told, and the next text follows.

    Returns:
        The exit code: the worst one.
    """
    worst = 0
    for text in texts:
        try:
            session.handle(text)
        except LeaveError:
            break
        except KidError as error:
            session.say.error(error)
            worst = max(worst, error.exit_code)
        except BrokenPipeError:
            raise
        except Exception as error:  # ours; the next text may go well
            session.say.error(fault(error))
            worst = max(worst, 1)
    return worst

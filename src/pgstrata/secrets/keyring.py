"""The OS keyring: only backends that encrypt, and never longer than a deadline.

``keyring`` chooses a backend by itself. Without a desktop that may be one that writes clear text,
one that forgets, or one whose service never answers. So the backend is compared with a list,
every call has a deadline, and what was set is read back.
"""

from __future__ import annotations

import hmac
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from pgstrata.errors import SecretError
from pgstrata.model import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

SERVICE = "pgstrata"
DEADLINE = 15.0  # seconds; long enough to answer the question of a locked keyring

BACKENDS = (
    "keyring.backends.SecretService.Keyring",
    "keyring.backends.libsecret.Keyring",
    "keyring.backends.kwallet.DBusKeyring",
    "keyring.backends.macOS.Keyring",
    "keyring.backends.Windows.WinVaultKeyring",
)
_CHAINER = "keyring.backends.chainer.ChainerBackend"

_T = TypeVar("_T")


def service(project: str, environment: str) -> str:
    """Return the service name under which the secrets of an environment are kept."""
    return f"{SERVICE}/{project}/{environment}"


def get(project: str, environment: str, key: str, *, deadline: float = DEADLINE) -> str:
    """Return the value of a setting. Raises ``SecretError`` if there is none, or no usable keyring.

    ``deadline`` is in seconds.
    """
    value = find(service(project, environment), key, deadline=deadline)
    if value is None:
        raise SecretError(
            f"the keyring holds no {key} under {service(project, environment)}",
            hint=f"`pgstrata secret set {key} -e {environment} --store keyring` puts it there",
        )
    return value.reveal()


def has(project: str, environment: str, key: str, *, deadline: float = DEADLINE) -> bool:
    """Tell whether the keyring holds a value. Raises ``SecretError`` without a usable keyring."""
    return find(service(project, environment), key, deadline=deadline) is not None


def set(  # noqa: A001  # keyring.set is what the reader expects beside get and delete
    project: str, environment: str, key: str, value: Secret, *, deadline: float = DEADLINE
) -> None:
    """Store a value and read it back. Raises ``SecretError`` unless it came back the same."""
    store(service(project, environment), key, value, deadline=deadline)


def delete(project: str, environment: str, key: str, *, deadline: float = DEADLINE) -> None:
    """Remove a value. Raises ``SecretError`` if there is none, or no usable keyring."""
    name = service(project, environment)
    get(project, environment, key, deadline=deadline)
    _call(lambda: _backend().delete_password(name, key), deadline)


def stage(
    project: str, environment: str, key: str, value: Secret, *, deadline: float = DEADLINE
) -> None:
    """Keep a value for a setting where nothing reads it, until it is accepted or rejected."""
    set(project, environment, _staged(key), value, deadline=deadline)


def is_staged(project: str, environment: str, key: str, *, deadline: float = DEADLINE) -> bool:
    """Tell whether a value is kept for a setting that is neither accepted nor rejected."""
    return has(project, environment, _staged(key), deadline=deadline)


def accept(project: str, environment: str, key: str, *, deadline: float = DEADLINE) -> None:
    """Take over the value that is staged. Raises ``SecretError`` if there is none."""
    value = Secret(get(project, environment, _staged(key), deadline=deadline))
    set(project, environment, key, value, deadline=deadline)
    reject(project, environment, key, deadline=deadline)


def reject(project: str, environment: str, key: str, *, deadline: float = DEADLINE) -> None:
    """Drop the value that is staged. Raises ``SecretError`` if there is none."""
    delete(project, environment, _staged(key), deadline=deadline)


def _staged(key: str) -> str:
    return f"{key}.next"


def backend_name(*, deadline: float = DEADLINE) -> str:
    """Return the dotted name of the backend in use. Raises ``SecretError`` without a usable one."""
    return _call(lambda: _name(_backend()), deadline)


def find(name: str, user: str, *, deadline: float = DEADLINE) -> Secret | None:
    """Return what is kept under a service name and a user name, or None. Raises ``SecretError``."""
    _check_user(user)

    def read() -> Secret | None:
        text = _backend().get_password(name, user)
        return None if text is None else Secret(text, source=f"keyring {name} {user}")

    return _call(read, deadline)


def store(name: str, user: str, value: Secret, *, deadline: float = DEADLINE) -> None:
    """Keep a value under a service name and a user name. Raises ``SecretError``."""
    _check_user(user)
    _call(lambda: _backend().set_password(name, user, value.reveal()), deadline)
    kept = find(name, user, deadline=deadline)
    if kept is None or not _same(kept, value):
        raise SecretError(
            f"the keyring did not keep {user} under {name}: reading it back gave something else",
            hint="it may be too long (Windows keeps 1280 characters) or hold a NUL; "
            "use --store sealed",
        )


def _same(one: Secret, other: Secret) -> bool:
    first, second = (secret.reveal().encode("utf-8", "surrogatepass") for secret in (one, other))
    return hmac.compare_digest(first, second)


def _check_user(user: str) -> None:
    if not user:
        raise SecretError(
            "the keyring needs the name of a setting", hint="an empty name would match any entry"
        )


def _backend() -> KeyringBackend:
    """Return the first allowed backend: the chosen one, or one inside a chainer."""
    import keyring

    chosen = keyring.get_keyring()
    inside = getattr(chosen, "backends", ()) if _name(chosen) == _CHAINER else [chosen]
    for backend in inside:
        if _name(backend) in BACKENDS:
            return backend
    raise _refused(_name(chosen))


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _refused(name: str) -> SecretError:
    if name == "keyring.backends.fail.Keyring":
        return SecretError(
            "there is no OS keyring here",
            hint="it needs a desktop session with D-Bus on Linux; on a server use --store sealed",
        )
    return SecretError(
        f"the keyring backend {name} is refused: it is not known to encrypt what it keeps",
        hint="unset PYTHON_KEYRING_BACKEND, or choose one of " + ", ".join(BACKENDS),
    )


def _call(function: Callable[[], _T], deadline: float) -> _T:
    """Call in a daemon thread: one that hangs on a dead service must not keep the program alive."""
    answers: SimpleQueue[tuple[_T] | SecretError] = SimpleQueue()
    Thread(target=_answer, args=(function, answers), name="keyring", daemon=True).start()
    try:
        answer: tuple[_T] | SecretError = answers.get(timeout=deadline)
    except Empty:
        answer = SecretError(
            f"the OS keyring did not answer within {deadline:g} seconds",
            hint="its service hangs, or waits to be unlocked on another screen: restart it",
        )
    if isinstance(answer, SecretError):
        raise answer.with_traceback(None)  # a backend's frames may hold the value
    return answer[0]


def _answer(function: Callable[[], _T], answers: SimpleQueue[tuple[_T] | SecretError]) -> None:
    try:
        answers.put((function(),))
    except SecretError as error:
        answers.put(error)
    except Exception as error:  # noqa: BLE001  # backends raise anything, ModuleNotFoundError too
        answers.put(_failed(type(error).__name__))


def _failed(kind: str) -> SecretError:
    """Return the error for an exception of a backend, by its type alone: its text may quote."""
    if kind in ("KeyringLocked", "InitError", "PromptDismissedException", "LockedException"):
        return SecretError(
            "the OS keyring is locked, and was not unlocked",
            hint="unlock it and try again; without a desktop nobody can be asked for its password",
        )
    return SecretError(
        f"the OS keyring failed ({kind})",
        hint="`pgstrata doctor` shows the backend in use; PYTHON_KEYRING_BACKEND may name a "
        "missing one",
    )

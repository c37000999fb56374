"""Fresh request ids: 96 random bits each, in sixteen characters of base64url."""

from base64 import urlsafe_b64encode

from gateway.ports import Entropy

_OCTETS, _CHARACTERS = 12, 16
_AT_ONCE = 256  # ids drawn together: the system's generator costs more per call than per octet


class RequestIds:
    """Hands out ids. They need not be secret, only different."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """Return an id nobody has had."""
        if not self._drawn:
            text = urlsafe_b64encode(self._entropy.octets(_OCTETS * _AT_ONCE)).decode()
            self._drawn = [text[at : at + _CHARACTERS] for at in range(0, len(text), _CHARACTERS)]
        return self._drawn.pop()

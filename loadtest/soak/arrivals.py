"""Whether every record of a steady producer arrives once and in order, told as they arrive. Pure."""


class Arrivals:
    """Records numbered from 0, of which every `keys`-th has the same key: so each key's numbers are `keys` apart. What is kept
    follows from the number of keys and from what is missing, not from how long it goes on."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._due = list(range(keys))
        """By key, its next number."""
        self._missing: set[int] = set()
        self.arrived = 0
        self.twice = 0
        self.out_of_order = 0

    def take(self, number: int) -> None:
        """The next record that is read, of those of its key."""
        due = self._due[number % self._keys]
        if number >= due:
            self._missing.update(range(due, number, self._keys))
            self._due[number % self._keys] = number + self._keys
            self.arrived += 1
        elif number in self._missing:
            self._missing.remove(number)
            self.out_of_order += 1
            self.arrived += 1
        else:
            self.twice += 1

    def lost(self, produced: int) -> int:
        """How many of so many records have not arrived."""
        behind = sum(len(range(due, produced, self._keys)) for due in self._due)
        return behind + sum(number < produced for number in self._missing)

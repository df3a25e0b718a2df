"""A draft that an answer follows unless the model is sure of something else.

Where the answer stands in the draft is found by the least number of edits between what was said
and a beginning of the draft (Levenshtein 1966); the id that goes on from there is made likelier.
So a small model copies what it does not know better, and one number says how sure it must be.
"""

from __future__ import annotations

from collections.abc import Sequence


class Follow:
    """The ids of a draft, as an answer that agrees with it would have them."""

    def __init__(self, draft: Sequence[int]) -> None:
        self._draft = tuple(draft)
        self._rows: dict[tuple[int, ...], list[int]] = {(): list(range(len(self._draft) + 1))}

    def next_ids(self, said: Sequence[int]) -> set[int]:
        """The ids that may go on with the draft after what was said; none at its end.

        >>> Follow([5, 6, 7]).next_ids([5, 9])
        {6, 7}
        """
        row = self._row(tuple(said))
        places = [place for place, edits in enumerate(row) if edits == min(row)]
        # Of places that are as good, those count at which the two have just agreed.
        agreed = [
            place for place in places if place and said and said[-1] == self._draft[place - 1]
        ]
        return {self._draft[place] for place in agreed or places if place < len(self._draft)}

    def _row(self, said: tuple[int, ...]) -> list[int]:
        """Edits between what was said and each beginning of the draft."""
        if said not in self._rows:
            before = self._row(said[:-1])
            row = [before[0] + 1]
            for place, token in enumerate(self._draft):
                swapped = before[place] + (token != said[-1])
                row.append(min(swapped, before[place + 1] + 1, row[-1] + 1))
            self._rows[said] = row
        return self._rows[said]

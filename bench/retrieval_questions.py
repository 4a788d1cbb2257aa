"""A labelled set for searching: short passages of a made-up company, and questions of which each has one answer.

Half of the questions ask with the words of the passage, names and numbers above all; half ask in other words. The
unseen half is of other subjects than the seen one, and of other templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Question:
    text: str
    answer: str


SITES = (
    "Aldgate", "Brno", "Cordoba", "Dresden", "Espoo", "Faro", "Gdansk", "Haarlem", "Izmir", "Jerez", "Kiel", "Lyon",
    "Malmo", "Nancy", "Oulu", "Porto", "Quimper", "Riga", "Split", "Turin",
)  # fmt: skip
# Passage, a question in its words, a question in other words.
SUBJECTS: dict[str, tuple[str, str, str]] = {
    "flood": (
        "The warehouse in {site} was flooded in spring; goods on the lowest shelves were lost. Claim {code}.",
        "claim {code} warehouse flooded",
        "Which storage building of {site} suffered water damage?",
    ),
    "doctor": (
        "The physician for employees of {site} sees patients on Tuesdays without an appointment. Room {code}.",
        "physician room {code}",
        "When can staff at {site} get medical help?",
    ),
    "canteen": (
        "The canteen in {site} serves meals without meat every Friday, and soup each day. Supplier {code}.",
        "canteen supplier {code}",
        "Is there vegetarian food for lunch in {site}?",
    ),
    "theft": (
        "Two laptops were stolen from an office in {site}; the police were told the same evening. File {code}.",
        "file {code} laptops stolen",
        "Was there a burglary of computers at {site}?",
    ),
    "salary": (
        "Wages in {site} are paid on the last working day; overtime follows a month later. Table {code}.",
        "wages table {code}",
        "On what day do people in {site} receive their money?",
    ),
    "lease": (
        "The building in {site} is rented until the end of the decade, with an option for five years. Deed {code}.",
        "deed {code} building rented",
        "How long does the tenancy of the premises in {site} run?",
    ),
    "fire": (
        "Smoke detectors in {site} are tested every March by an outside firm, floor by floor. Protocol {code}.",
        "smoke detectors protocol {code}",
        "Who checks the alarms against burning at {site}?",
    ),
    "truck": (
        "Lorries that deliver to {site} must use the northern gate before noon, one at a time. Permit {code}.",
        "lorries permit {code} northern gate",
        "Where do vehicles with freight enter the site in {site}?",
    ),
    "heating": (
        "The boiler in {site} was replaced by a heat pump, which halves what is paid for warmth. Order {code}.",
        "order {code} boiler heat pump",
        "What was done about energy costs in winter at {site}?",
    ),
    "noise": (
        "Neighbours of {site} complained of loud machines at night; shifts now end at ten. Letter {code}.",
        "letter {code} neighbours complained",
        "Why was evening work shortened at {site}?",
    ),
}
_SEEN = ("flood", "doctor", "canteen", "theft", "salary")


def _code(subject: str, site: str) -> str:
    return f"{subject[0].upper()}{site[0]}-{1000 + 37 * list(SUBJECTS).index(subject) + 411 * SITES.index(site)}"


PASSAGES: list[tuple[str, str]] = [
    (f"{subject}-{site}.txt", SUBJECTS[subject][0].format(site=site, code=_code(subject, site)))
    for subject, site in product(SUBJECTS, SITES)
]


def questions(*, seen: bool) -> list[Question]:
    """Returns 100 questions: of each passage of five subjects one, in its words or in others by turns."""
    found = []
    for subject in (each for each in SUBJECTS if (each in _SEEN) is seen):
        for number, site in enumerate(SITES):
            template = SUBJECTS[subject][1 + number % 2]
            text = template.format(site=site, code=_code(subject, site))
            found.append(Question(text, f"{subject}-{site}.txt"))
    return found

# ruff: noqa: RUF001 - letters of other alphabets are the subject here
"""Detection of legacy encodings by the languages written in them.

The bytes of an old text file do not state their encoding. An encoding is judged by the plausibility of the letters that
it yields: in the best-fitting language, a letter is as probable as its frequency there, one that the language lacks is
very improbable, and so are capitals and symbols in the middle of words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

_SAMPLE_BYTES = 4 * 1024
_HANDICAPPED = 20  # number of letters, so that many of them outweigh it
_FEW = 8  # below this, statistics are unreliable
_MOST = 0.75  # share of the loss per byte if all letters were foreign
_FOREIGN = -9.0  # log probability of a letter that a language does not use
_SIGN = -8.0
_CONTROL = -14.0
_MISPLACED = -4.0
# In Western Europe two non-ASCII letters are seldom adjacent.
_BESIDE, _TOGETHER = -2.5, re.compile(r"[^\W\x00-\x7f](?=[^\W\x00-\x7f])")
_CAPITAL = 0.25
_TYPOGRAPHY = {
    **dict.fromkeys("\u2019\u201c\u201d\u201e\u2013\u00a0", -4.5),
    **dict.fromkeys("\u2018\u201a\u2014\u2026\u2022\u2122\u20ac£§©®°·«»ªº¡¿\u00ad±²³½¼×№", -6.0),
}
# In wide scripts punctuation counts as a character.
_WIDE_PUNCTUATION = "，。、；：？！「」『』（）《》\u201c\u201d\u2018\u2019・ー〇々\u3000"

# Frequencies of non-ASCII letters by language, in thousandths of a text's letters.
_LATIN = {
    "Czech": "í33 á22 ě16 ř12 é11 ý11 č10 ž10 š8 ů7 ú2 ň1 ó1 ť1 ď1",
    "Slovak": "á17 í16 ú11 č10 ž10 ý10 é9 š9 ť7 ľ4 ň2 ô2 ď2 ó1 ä1 ŕ1 ĺ1",
    "Polish": "ł18 ę11 ą10 ó9 ż8 ś7 ć4 ń2 ź1",
    "Hungarian": "é39 á34 ó10 ő9 ö9 ü6 í5 ú3 ű2",
    "Romanian": "ă24 î14 ş16 ţ12 ș16 ț12 â9",
    "Croatian": "č10 š10 ć7 ž6 đ3",
    "Turkish": "ı50 ü19 ş18 ç12 ğ11 ö9 İ3 â1 î1",
    "French": "é190 à50 è30 ê22 ç9 ô6 î5 û6 ù6 â5 œ3 ë1 ï1",
    "German": "ü65 ä55 ö30 ß30",
    "Spanish": "ó83 í72 á50 é43 ñ31 ú17 ü1",
    "Portuguese": "ã73 ç53 á52 é51 ê36 ó30 í32 õ19 ú20 â20 à7 ô6",
    "Italian": "à63 è26 ù17 ò20 ì8 é8",
    "Danish": "å90 æ90 ø92 é2",
    "Swedish": "ä180 å134 ö130 é2",
    "Finnish": "ä360 ö44 å1",
    "Icelandic": "ð44 á18 í16 é7 æ9 ö8 ó10 þ15 ú6 ý2",
    "Dutch": "ë20 é15 ï10 è3 ö2 ü2",
    "Catalan": "à30 é20 è20 ó25 í15 ò12 ç8 ï3 ú5 ü1",
    "Lithuanian": "ė15 ų12 š10 ž8 ą6 į6 ū4 č4 ę2",
    "Latvian": "ā38 ē18 ī18 š9 ļ4 ņ5 ū5 ķ2 ģ2 ž2 č1",
    "Estonian": "ä10 õ10 ü6 ö2 š1 ž1",
}
# Frequent words in ASCII letters: they distinguish languages when there are few other letters.
_WORDS = {
    "Czech": "a v na je se do ve ze za od k o s z by bylo jsou nebo ale jako jeho",
    "Slovak": "a v na je sa do zo za od k o s z by bolo alebo ale ako jeho sme",
    "Polish": "i w na z do nie jest od po za ich jak oraz dla przez lub tym co",
    "Hungarian": "a az egy hogy nem is van volt ez csak meg vagy mint ki",
    "Romanian": "de la cu pe din nu care sau mai pentru un o este ale",
    "Croatian": "i u na je se da od za su bi kao te ili koji s ne o ona vsi bi ki v",
    "Turkish": "ve bir bu ile de da ne o olarak daha her ama gibi en",
    "French": "de la le et les des en un une du que est dans qui pour par sur ne pas au",
    "German": "der die und in den von zu das mit sich des auf ist im dem nicht ein eine als auch",
    "Spanish": "de la que el en y los se del las un por con una su para es al lo como",
    "Portuguese": "de a o que e do da em um para com uma os no se na por mais as dos",
    "Italian": "di e il la che in un del per una con le sono i non da si al dei gli",
    "Danish": "og i at det er en til af de for med den der som et har ikke om var",
    "Swedish": "och i att det som en av den med till har de ett om inte var men",
    "Finnish": "ja on ei se oli ett mutta kun niin joka ovat tai sen",
    "Icelandic": "og a er sem til um hann var en af ekki en vi eru",
    "Dutch": "de van het een en in is dat op te zijn met voor niet aan er om ook",
    "Catalan": "de la i el que en les a els per amb una un del es al no com",
    "Lithuanian": "ir kad tai su iki o kaip bet yra ar jo buvo i",
    "Latvian": "un ir ar no par ka uz tas bet vai kas to",
    "Estonian": "ja on ei et see kui oli ka mis aga oma või ta",
}
_WORD = re.compile(r"(?<![^\W\d_])[a-z]+(?![^\W\d_])")
_WORDS_COUNT, _WORDS_MOST, _WORDS_CHARS = 8.0, 4.0, 1_000
_OTHER = {
    "Russian": "о110 е85 а80 и74 н67 т63 с55 р47 в45 л44 к35 м32 д30 п28 у26 я20 ы19 ь17 г17 з16 б16 ч15 й12 х10 ж9 ш7"
    " ю6 ц5 щ4 э3 ф3 ъ1 ё1",
    "Ukrainian": "о94 а83 и61 і57 н68 в52 т54 р47 е48 с40 к39 л36 д33 у31 п29 м29 я22 з21 ь18 б17 г16 ч14 й13 х11 ц8"
    " ю9 ж8 ї6 є5 щ6 ш7 ф3 ґ1",
    "Bulgarian": "а117 и95 о86 е86 т80 н71 р52 с50 в45 л34 к34 д33 п29 м25 з22 ъ16 я18 г16 у15 б14 ч13 щ6 ц7 х6 ж7 й6"
    " ш5 ю2 ф2 ь1",
    "Serbian": "а115 и97 о90 е88 н55 р50 с48 т43 у43 ј43 д36 к36 в36 м33 л32 п27 з17 г17 б15 ш10 ч10 ц7 ж6 ћ6 љ5 х6 њ6"
    " ђ2 ф2 џ1",
    "Greek": "α100 ο90 ι70 τ78 ε70 ν65 σ48 ς38 ρ44 κ40 π40 η45 υ40 μ33 λ28 θ13 δ17 γ18 ω18 χ12 φ8 β7 ξ4 ζ3 ψ2 ά22"
    " έ18 ή16 ί30 ό28 ύ12 ώ10 ϊ1",
    "Hebrew": "י110 ו104 ה99 ל74 א63 ר56 ת50 ב47 ש44 מ46 ם33 ע32 נ29 ד26 ח25 ק21 פ17 כ20 ט12 ג13 ס15 ז13 ן11 צ9 ך8"
    " ץ2 ף3",
    "Arabic": "ا130 ل120 ي75 م65 و62 ن60 ر55 ت50 ب40 ة35 ع35 د33 س30 ف30 ه28 ك25 ق25 أ22 ح20 ج15 ش12 ص10 ى12 خ9 ط9"
    " ض7 إ8 ذ6 ث6 غ5 ز6 ء3 ظ2 ئ3 ؤ1 آ2",
    "Thai": "".join(f" {chr(code)}10" for code in range(0x0E01, 0x0E4E)),
}
# Languages with few writers, whose letters are given less weight.
_RARE = {"Icelandic": 0.7, "Catalan": 0.3}
_COMMON_JAPANESE = (
    "東京都大阪市区町村県名古屋株式会社年月日本人田中山川上下一二三十百千万円金国学校電話番号部品工場契約住所氏姓様"
)
_COMMON_KOREAN = (
    "이다는가의에을를은도고지하기한사나리자로라인대어서시아있그정일부전수스해과상제보들만주장원국성공조동소세구연음"
    "안선경관영유내무오우산신진화비거것니여당요모문업방용당실김박최민현준철호재미중등김회"
)
_COMMON_CHINESE = (
    "北京上海广州深圳台湾台灣公里元份号號市区區路街号省县縣"
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分"
    "還這個們來為國說時會對於著過發後裡經麼學現當沒動面起看定天分月日合同款項約定金額公司"
)


@dataclass(frozen=True, slots=True)
class _Encoding:
    """An encoding and the languages written in it.

    Attributes:
        name: Its name.
        languages: The languages, or the one wide script.
        handicap: Penalty for each of its first letters, for encodings that have become rare.
    """

    name: str
    languages: tuple[str, ...]
    handicap: float = 0.0


_NORTH = ("Danish", "Swedish", "Finnish", "Icelandic", "Dutch")
_WEST = ("French", "German", "Spanish", "Portuguese", "Italian", "Catalan", *_NORTH)
_EAST = ("Czech", "Slovak", "Polish", "Hungarian", "Romanian", "Croatian", "German")
_CYRILLIC = ("Russian", "Ukrainian", "Bulgarian", "Serbian")
_ENCODINGS = (
    _Encoding("cp1252", _WEST),
    _Encoding("iso8859-15", _WEST, 0.05),
    _Encoding("cp1250", _EAST, 0.02),
    _Encoding("iso8859-2", _EAST, 0.05),
    _Encoding("iso8859-16", ("Romanian",), 0.2),
    _Encoding("cp1254", ("Turkish",), 0.02),
    _Encoding("cp1257", ("Lithuanian", "Latvian", "Estonian", "Polish"), 0.6),
    _Encoding("cp1251", _CYRILLIC),
    _Encoding("koi8-r", ("Russian", "Bulgarian"), 0.1),
    _Encoding("koi8-u", ("Ukrainian",), 0.12),
    _Encoding("iso8859-5", _CYRILLIC, 0.2),
    _Encoding("cp866", ("Russian",), 0.2),
    _Encoding("mac-cyrillic", ("Russian", "Ukrainian"), 0.1),
    _Encoding("cp1253", ("Greek",)),
    _Encoding("iso8859-7", ("Greek",), 0.05),
    _Encoding("cp1255", ("Hebrew",)),
    _Encoding("cp1256", ("Arabic",)),
    _Encoding("cp874", ("Thai",)),
    _Encoding("cp850", (*_WEST, "Turkish"), 1.5),
    _Encoding("cp852", _EAST, 1.5),
    _Encoding("mac-roman", _WEST, 1.5),
    _Encoding("mac-latin2", _EAST, 2.0),
    _Encoding("cp932", ("Japanese",)),
    _Encoding("euc_jp", ("Japanese",), 0.05),
    _Encoding("gb18030", ("Chinese",)),
    _Encoding("big5hkscs", ("Traditional Chinese",)),
    _Encoding("cp949", ("Korean",)),
)


def best_encoding(data: bytes) -> str | None:
    """Return the encoding whose letters are the most plausible; None if even that is nonsense.

    Args:
        data: Bytes that are not UTF-8.
    """
    sample = _telling(data)
    loss, number = min((-score, number) for number, score in enumerate(_scores(sample)))
    name = _ENCODINGS[number].name
    wide = sum(1 for byte in sample if byte >= 0x80)
    text = sample.decode(name, "replace")
    if wide == 0 or loss / wide > -_FOREIGN * _MOST or (wide < _FEW and not _in_words(text)):
        return None
    return name


def _in_words(text: str) -> bool:
    """Return whether all non-ASCII characters are letters, with no isolated capital, or symbols outside words."""
    padded = f" {text} "
    places = [at for at, char in enumerate(padded) if not char.isascii()]
    return all(_fits(padded[at - 1], padded[at], padded[at + 1]) for at in places)


def _fits(before: str, char: str, after: str) -> bool:
    if char.isalpha():
        return char.islower() or bool((before + after).strip())
    return char in _TYPOGRAPHY and not (before.isalpha() and after.isalpha())


def _telling(data: bytes) -> bytes:
    """Return the lines with non-ASCII bytes, up to a limit; the others carry no information."""
    lines: list[bytes] = []
    size = 0
    for line in re.split(rb"(?<=[\n\r])", data):
        if not line.isascii():
            lines.append(line[:_SAMPLE_BYTES])
            size += len(line)
        if size > _SAMPLE_BYTES:
            break
    return b"".join(lines)


def _scores(sample: bytes) -> Iterable[float]:
    """Return for each encoding the log probability of its text in the best-fitting language."""
    for encoding in _ENCODINGS:
        text = sample.decode(encoding.name, "replace")
        counts = Counter(char for char in text if not char.isascii())
        by_language = (_likelihood(text, counts, language) for language in encoding.languages)
        misplaced = 0 if isinstance(_model(encoding.languages[0]), _WideScript) else _misplaced(text)
        yield max(by_language) - encoding.handicap * min(counts.total(), _HANDICAPPED) + _MISPLACED * misplaced


def _likelihood(text: str, counts: Mapping[str, int], language: str) -> float:
    model = _model(language)
    if isinstance(model, _WideScript):
        return sum(count * model.weight(char) for char, count in counts.items())
    total = sum(count * _weight(char, model) for char, count in counts.items())
    total += _words_bonus(text, language) - _RARE.get(language, 0.0) * min(sum(counts.values()), _HANDICAPPED)
    return total + _BESIDE * len(_TOGETHER.findall(text)) if language in _WEST else total


def _words_bonus(text: str, language: str) -> float:
    words = _WORD.findall(text[:_WORDS_CHARS].lower())
    known = _frequent(language)
    return min(_WORDS_MOST, _WORDS_COUNT * sum(word in known for word in words) / len(words)) if words else 0.0


@cache
def _frequent(language: str) -> frozenset[str]:
    return frozenset(_WORDS.get(language, "").split())


def _weight(char: str, model: Mapping[str, float]) -> float:
    if char in model:
        return model[char]
    if char in _TYPOGRAPHY:
        return _TYPOGRAPHY[char]
    if char == "\N{REPLACEMENT CHARACTER}" or "\x80" <= char < "\xa0":
        return _CONTROL
    return _FOREIGN if char.isalpha() else _SIGN


class _Classes(dict[int, str]):
    """Maps a character code to its class: a and A for ASCII, l and L for Latin, x and X for other letters; symbols."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char.isascii():
            found = ("A" if char.isupper() else "a") if char.isalpha() else "1" if char in _STRANGE else " "
        elif char.isalpha() or "\u0e31" <= char <= "\u0e4e":  # Thai has vowels and tones above and below its letters
            found = ("L" if char.isupper() else "l") if char < "\u0250" else "X" if char.isupper() else "x"
        else:
            found = "t" if char in _TYPOGRAPHY else "s"
        self[code] = found
        return found


_CLASSES = _Classes()
_STRANGE = frozenset("0123456789_[]{}^|~@`\\")  # ASCII characters that are seldom next to a non-ASCII letter
_CAPITAL_INSIDE = re.compile("[alx](?=[LX])|[lx](?=A)|(?<![aAlLxX])[LX](?![aAlLxX])")
_OTHER_ALPHABET = re.compile("[aAlL](?=[xX])|[xX](?=[aAlL])")
_SIGN_INSIDE = re.compile("[aAlLxX](?=s)|s(?=[aAlLxX])|[st](?=[st])|[lLxX](?=1)|1(?=[lLxX])")


def _misplaced(text: str) -> int:
    """Count capitals after small letters, symbols next to letters and symbols, and mixed alphabets."""
    classes = text.translate(_CLASSES)
    return sum(len(pattern.findall(classes)) for pattern in (_CAPITAL_INSIDE, _OTHER_ALPHABET, _SIGN_INSIDE))


class _WideScript:
    """Chinese, Japanese or Korean: frequency of characters, by their position in the national standard."""

    def __init__(self, language: str) -> None:
        self._language = language

    def weight(self, char: str) -> float:
        if char in _WIDE_PUNCTUATION:
            return -5.0
        kana = "\u3041" <= char <= "\u30fe"
        if self._language == "Japanese":
            return -5.0 if kana else -7.0 if char in _COMMON_JAPANESE else self._by_rows(char, "euc_jp", 0xD0)
        if self._language == "Korean":
            if char in _COMMON_KOREAN:
                return -5.5
            return -9.0 if "\uac00" <= char <= "\ud7a3" and _rows(char, "euc_kr") else -13.0
        if char in _COMMON_CHINESE:
            return -6.0
        codec, level = ("gb2312", 0xD8) if self._language == "Chinese" else ("big5", 0xC7)
        return -13.0 if kana else self._by_rows(char, codec, level)

    @staticmethod
    def _by_rows(char: str, codec: str, level: int) -> float:
        """Return the weight of an ideograph: common ones come first in the tables."""
        rows = _rows(char, codec)
        if not "\u4e00" <= char <= "\u9fff" or not rows:
            return -10.0 if rows and rows[0] < 0xA8 else -15.0
        return -8.5 if rows[0] < level else -13.0


@cache
def _rows(char: str, codec: str) -> bytes:
    try:
        row = char.encode(codec)
    except UnicodeEncodeError:
        return b""
    return row if len(row) == 2 else b""  # the Korean standard composes the syllables that it lacks from parts


@cache
def _model(language: str) -> Mapping[str, float] | _WideScript:
    letters = _LATIN.get(language) or _OTHER.get(language)
    if letters is None:
        return _WideScript(language)
    weights: dict[str, float] = {}
    for entry in letters.split():
        char, weight = entry[0], float(entry[1:])
        weights[char] = weights.get(char, 0.0) + weight
        capital = char.upper()
        if len(capital) == 1 and capital != char:
            weights[capital] = weights.get(capital, 0.0) + weight * _CAPITAL
    total = sum(weights.values())
    return {char: math.log(weight / total) for char, weight in weights.items()}


def is_wide_text(text: str) -> bool:
    """Return whether a text is plausible as Chinese, Japanese or Korean, for double-byte encodings.

    Args:
        text: The decoded text.
    """
    wide = [char for char in text if not char.isascii()]
    controls = sum(1 for char in text if char < " " and char not in "\t\r\n")
    if controls or not wide:
        return False
    best = max(sum(map(_WideScript(name).weight, wide)) for name in ("Japanese", "Korean", "Chinese", "Traditional"))
    return best / len(wide) > -9.5

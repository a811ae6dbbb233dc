"""What a mail names: jobs, orders, addresses, our own references. Candidates, which only our books can confirm."""

# ruff: noqa: RUF001 -- the letters of other languages are meant

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, filterfalse

from worker.intake.mail.sender import address

_MOST = 10
_MOST_WORDS = 60
SHORTEST, _LONGEST = 4, 128
"""What is shorter tells nothing by itself, nor do letters alone: "4k", "2nd" and "please" are no ids, but where an account's own
books have them."""
_MOST_ADDRESSES_READ = 2000

_ID = r"[A-Za-z0-9_.:-]{1,140}+(?![A-Za-z0-9_.:@-])"
_TOKEN = re.compile(r"[A-Za-z0-9_.:@-]+")
_ENDS = ".:-"
_SAYS_ID = r"(?:[\s_-]?(?:ids?|numbers?|nummern?|no\.?|nr\.?|num\.?|ref(?:erence)?|код|номер)(?![A-Za-z])|\s?(?:№|#|番号|号))"
_BETWEEN = r"[\s'\"`*\[(<{«“:：=#-]{0,6}"
_JOB = r"\bjobs?|ジョブ|\bзадани[ея]|\bзадач[аи]|\btrabajo|\btâche|任务|作业"
_ORDER = (
    r"\borders?|\bpurchases?|\btransactions?|\binvoices?|\breceipts?|\bbestell(?:ung|nummer)|\bbestellungs|\brechnung(?:snummer)?"
    r"|\btransaktion|\bcommande|\bfacture|\bpedido|\bfactura|\bcompra|\bordine|\bfattura|\bзаказа?|注文|取引|請求書?|订单|發票|发票"
)
_AND = r"(?:,|;|&|\+|/|and\b|und\b|et\b|y\b|и\b|、|と)"
_WARE = re.compile(r"\d+(?:-?(?:h|hrs?|hours?|credits?)|(?=-[a-z]))(?:-[a-z]{2,})*", re.IGNORECASE)
"""What may be bought, as "24-Hour" and "100-credits-pack" say: a number and words are no id."""
_CREDITS = re.compile(r"\s{0,3}(?:credit|crédit|crédito|kredit|кредит|クレジット|积分|點數)", re.IGNORECASE)
_MORE = re.compile(rf"[\s'\"`*\])>}}»”]{{0,4}}{_AND}{_BETWEEN}(?:and\b)?{_BETWEEN}({_ID})")
_NUMBERED = r"\d{1,2}[.)][ \t]{1,3}"
_LISTED = re.compile(
    rf"[ \t]{{0,3}}[,;]?[ \t]{{0,3}}\n[ \t]{{0,4}}(?:[-*•·–][ \t]{{0,3}}|{_NUMBERED})?({_ID})(?=[ \t,;]{{0,4}}(?:\n|\Z))"
)
"""One more on a line of its own below."""
_REFERENCE = re.compile(r"(?<![A-Za-z0-9_-])R-[A-Z0-9]{10,40}(?![A-Za-z0-9])")
_FULL_WIDTH = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_ESCAPED = re.compile(r"%([2-6][0-9A-Fa-f]|7[0-9A-Ea-e])")
_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.!#$%&'*+/=?^_`{|}~-"
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z][A-Za-z0-9-]{1,62}")
_ACCOUNT = re.compile(
    r"(?:account|login|log(?:ged)? in|registered|sign(?:ed)?[ -]?(?:in|up)|user|konto|compte|cuenta|cadastr|аккаунт|アカウント"
    r"|登録|账号)[^\n@]{0,40}\Z",
    re.IGNORECASE,
)


def _labelled(label: str) -> re.Pattern[str]:
    # "Job-ID: 7", "job id is 7", "job #7", "job job_7"; what follows a bare label has to look like an id of its own. Case is
    # ignored in labels only: otherwise letters that are no ASCII would pass for some that are
    said = rf"(?P<label>(?i:{label}))(?P<says>(?i:{_SAYS_ID}))?(?:\s?(?i:is|was|lautet|ist|est|es)\b)?"
    first = rf"(?:(?<=\n)[ \t]{{0,4}}{_NUMBERED}(?=[A-Za-z:-]{{0,40}}[0-9_]))?"
    return re.compile(rf"{said}(?P<between>{_BETWEEN}){first}(?<![A-Za-z0-9_.-])(?P<id>{_ID})")


_JOBS, _ORDERS = _labelled(_JOB), _labelled(_ORDER)


@dataclass(frozen=True, slots=True)
class Names:
    """Every list without repetition, in the order of the mail; labelled addresses before others."""

    addresses: tuple[str, ...]
    jobs: tuple[str, ...]
    orders: tuple[str, ...]
    words: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that looks like an id."""
        return *self.jobs, *self.orders, *filter(marked, self.words)


def read_names(subject: str, written: str, whole: str) -> Names:
    """What the subject and the text name. Labels count only where the sender wrote them; other ids also in what is quoted."""
    own, everything = _plain(f"{subject}\n\n{written}"), _plain(f"{subject}\n\n{whole}")
    references = _first(_REFERENCE.findall(everything), _MOST)
    jobs, orders = _first(_ids(_JOBS, own, _is_telling), _MOST), _first(_ids(_ORDERS, own, _is_telling), _MOST)
    taken = {*references, *jobs, *orders}
    short = _first(chain(_ids(_JOBS, own, _may_be_one), _ids(_ORDERS, own, _may_be_one)), _MOST)
    letters = _first(filterfalse(marked, chain(_ids(_JOBS, own, _fits, _fits), _ids(_ORDERS, own, _fits, _fits))), _MOST)
    # what a long quotation holds takes no place from what its sender wrote below it
    words = _first((word for word in chain(short, letters, _words(own), _words(everything)) if word not in taken), _MOST_WORDS)
    return Names(_addresses(written), jobs, orders, words, references)


def _plain(text: str) -> str:
    """`text` with ids as our books have them, where it was typed in full width, or escaped for Markdown or inside a link."""
    text = text if text.isascii() else text.translate(_FULL_WIDTH)
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text.replace("\\_", "_"))


def _first(found: Iterable[str], most: int) -> tuple[str, ...]:
    unique: dict[str, None] = {}
    for one in found:
        unique.setdefault(one)
        if len(unique) == most:
            break
    return tuple(unique)


def _words(text: str) -> Iterator[str]:
    for token in _TOKEN.finditer(text):
        word = token[0].strip(_ENDS)
        # mailers underline a word so in plain text, and an id may begin or end so
        for one in dict.fromkeys([word, word.strip("_")]):
            if SHORTEST <= len(one) <= _LONGEST and "@" not in one and marked(one):
                yield one


def marked(word: str) -> bool:
    """Whether it looks like no word of a language."""
    return "_" in word or any(c.isdigit() for c in word)


def _is_id(word: str) -> bool:
    return 0 < len(word) <= _LONGEST and marked(word)


def _ids(
    pattern: re.Pattern[str], text: str, is_told: Callable[[str], bool], is_said: Callable[[str], bool] = _is_id
) -> Iterator[str]:
    """What the labels call an id and `is_said` to be one, and what follows a bare one where it `is_told` by how it looks."""
    at = 0
    while (found := pattern.search(text, at)) is not None:
        word = found["id"].strip(_ENDS)
        explicit = found["says"] is not None or "#" in found["between"]
        # mailers break lines anywhere, and a blank line begins something else, but for a list that was announced
        near = found["between"].count("\n") < (3 if ":" in found["between"] else 2)
        told = near and is_told(word) and not _is_ware(word, text, found.end("id"))
        if not (is_said(word) if explicit else told):
            # what was no id may be the next label
            at = found.end("label")
            continue
        yield word
        at = found.end()
        for _ in range(_MOST):
            following = _MORE.match(text, at) or _LISTED.match(text, at)
            if following is None:
                break
            word = following[1].strip(_ENDS)
            if not is_told(word) or _is_ware(word, text, following.end(1)):
                break
            yield word
            at = following.end()


def _is_telling(word: str) -> bool:
    """Whether it is an id without anybody saying so: letters and digits, an underscore, or a long number."""
    return len(word) >= SHORTEST and _is_id(word) and (word.isdigit() or _has_letters(word))


def _may_be_one(word: str) -> bool:
    """Whether our books have to say if it is an id, for it may be as short as they come; a number by itself counts something."""
    return _is_id(word) and _has_letters(word)


def _fits(word: str) -> bool:
    """Whether it is as long as an id that any word may be, for it may be letters alone."""
    return SHORTEST <= len(word) <= _LONGEST


def _has_letters(word: str) -> bool:
    return "_" in word or any(c.isalpha() for c in word)


def _is_ware(word: str, text: str, end: int) -> bool:
    """Whether it says what was bought or how much of it, with the text after its `end`."""
    return _WARE.fullmatch(word) is not None or (word.isdigit() and _CREDITS.match(text, end) is not None)


def _addresses(text: str) -> tuple[str, ...]:
    labelled: list[str] = []
    others: list[str] = []
    at = -1
    for _ in range(_MOST_ADDRESSES_READ):
        at = text.find("@", at + 1)
        if at < 0:
            break
        before = text[max(at - 65, 0) : at]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip("'*`=/.|{_")
        domain = _DOMAIN.match(text, at + 1)
        found = address(f"{local}@{domain[0].rstrip('-')}") if domain is not None else None
        if found is not None:
            start = at - len(local)
            (labelled if _ACCOUNT.search(text[max(start - 60, 0) : start]) else others).append(found)
    return _first([*labelled, *others], _MOST)

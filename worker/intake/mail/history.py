"""What the sender wrote, without the earlier mails below it, beside it or above it."""

# ruff: noqa: RUF001 -- the letters of other languages are meant

import re
from collections.abc import Sequence

_FORWARD_SUBJECT = re.compile(r"(?:fwd?|wg|tr|rv|i|enc|doorst|pd|vb|vl|[iİ]lt|转发|轉寄|転送)\s{0,3}[:：]", re.IGNORECASE)
_FORWARD = re.compile(
    r"[-_=* ]{2,}(?:forwarded (?:message|mail|by)|weitergeleitete nachricht|message (?:transféré|transmis)|mensaje reenviado"
    r"|mensagem encaminhada|messaggio inoltrato|doorgestuurd bericht|пересылаемое сообщение|пересланное сообщение"
    r"|転送メッセージ|转发的邮件)"
    r"|begin forwarded message:|anfang der weitergeleiteten nachricht:|début du message (?:réexpédié|transféré)\s?:",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"[-_=* ]{2,}(?:original message|original appointment|ursprüngliche nachricht|message d['’]origine|mensaje original"
    r"|mensagem original|messaggio originale|oorspronkelijk bericht|исходное сообщение|元のメッセージ|原始邮件)",
    re.IGNORECASE,
)
_FROM = re.compile(
    r"[*_ ]{0,3}(?:from|von|de(?: la)?|da|van|от|від|od|från|fra|lähettäjä|feladó|kimden|gönderen|από|من|מאת|보낸 사람"
    r"|差出人|发件人|寄件者)"
    r"\s?[*_]{0,2}\s?[:：]",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"[*_ ]{0,3}(?:sent|date|to|cc|subject|gesendet|datum|an|betreff|envoyé|à|objet|enviad[oa](?: el| em)?|fecha|para|asunto|data"
    r"|inviato|a|oggetto|verzonden|aan|onderwerp|assunto|skickat|till|ämne|sendt|dato|til|emne|lähetetty|vastaanottaja|aihe"
    r"|wysłano|do|temat|odesláno|odoslané|komu|předmět|predmet|elküldve|küldve|címzett|tárgy|trimis|către|subiect"
    r"|gönderildi|gönderme tarihi|tarih|kime|konu|στάλθηκε|ημερομηνία|προς|θέμα|отправлено|надіслано|дата|кому|тема"
    r"|تاريخ الإرسال|التاريخ|إلى|الموضوع|נשלח|תאריך|אל|נושא|보낸 날짜|날짜|받는 사람|제목"
    r"|送信日時|日時|日付|宛先|件名|发送时间|日期|收件人|主题|寄件日期|收件者|主旨|主題)"
    r"\s?[*_]{0,2}\s?[:：]",
    re.IGNORECASE,
)
_STARTS = re.compile(r"(?:on|am|le|el|op|em|il|den|dne|w dniu|dnia)\s", re.IGNORECASE)
_WROTE = re.compile(
    r"(?:wrote|writes|a écrit|escribió|escreveu|schreef|ha scritto|napisał(?:\(a\)|a)?|пишет|написала?|написал\(а\))\s?[:：]\Z"
    r"|\b(?:schrieb|skrev)\b(?!\s(?:ich|wir|jag|jeg|vi)\b)",
    re.IGNORECASE,
)
_YEAR, _TIME = re.compile(r"\d{4}"), re.compile(r"(?<![\d.])\d{1,2}[:.]\d\d(?!\.?\d)")
_SENDER = re.compile(r"< ?[^<>@: ]{1,64}@[^<>@ ]{1,255}[<>]")
"""An address as mailers write it; a link to one (`<mailto:...>`) stands wherever somebody wrote an address."""
_MOST_LINES = 3
_MOST_CHARACTERS = 400
_HEADER_LINES = 7
_MOST_LINES_READ = 20_000
"""So many lines alone are longer than any text that is kept."""


def is_forward(subject: str) -> bool:
    """Whether the subject says that the mail hands on another one."""
    return _FORWARD_SUBJECT.match(subject.strip()) is not None


def written(text: str, subject: str) -> str:
    """`text` without quoted history. Of a forward everything stays, for what is handed on is what it wants to say; and of a mail
    that looks like history as a whole, as one whose sender indented it, or pasted a receipt above it.
    """
    if is_forward(subject):
        return text.strip()
    lines = text.split("\n", _MOST_LINES_READ)[:_MOST_LINES_READ]
    kept: list[str] = []
    for number, line in enumerate(lines):
        bare = line.strip()
        if bare.startswith(">"):
            continue
        if bare and _FORWARD.match(bare):
            kept.extend(lines[number:])
            break
        if bare and (_ORIGINAL.match(bare) or (_FROM.match(bare) and _is_header(lines[number + 1 : number + _HEADER_LINES]))):
            _drop_rule(kept)
            break
        kept.append(line)
        if bare.endswith((":", "：")):
            quotes = _quotes_next(lines, number + 1)
            if length := _attribution(kept, quotes=quotes):
                del kept[-length:]
                if not quotes:
                    break
    return "\n".join(kept).strip() or text.strip()


def _is_header(lines: Sequence[str]) -> bool:
    return sum(_OTHER.match(line.strip()) is not None for line in lines) >= 2


def _attribution(kept: Sequence[str], *, quotes: bool) -> int:
    """How many of the last lines say together who wrote what follows, be it marked as quoted or not; 0 if they do not."""
    for length in range(1, _MOST_LINES + 1):
        last = kept[-length:]
        if len(last) < length or not last[0].strip():
            return 0
        joined = " ".join(line.strip() for line in last)
        if len(joined) > _MOST_CHARACTERS:
            return 0
        if _says_who(joined, quotes=quotes):
            return length
    return 0


def _says_who(joined: str, *, quotes: bool) -> bool:
    """People begin sentences so too. What no mark of a quotation follows was quoted only where a mailer wrote this: it says at
    what time, and most of them whose address it was.
    """
    timed, named = _TIME.search(joined) is not None, _SENDER.search(joined) is not None
    wrote = _WROTE.search(joined) is not None and (quotes or timed or named)
    if wrote and _STARTS.match(joined) and any(c.isdigit() for c in joined):
        return True
    # Russian and Japanese mailers: a date without a word before it, a name, at times no verb
    named = named or (quotes and "@" in joined)
    return (joined[:1].isdigit() and wrote) or (named and timed and _YEAR.search(joined) is not None)


def _quotes_next(lines: Sequence[str], start: int) -> bool:
    following = next((lines[n].strip() for n in range(start, min(start + 3, len(lines))) if lines[n].strip()), "")
    return following.startswith(">")


def _drop_rule(kept: list[str]) -> None:
    """Takes the rule away that Outlook draws above what it quotes."""
    while kept and not kept[-1].strip(" _-\t\u2500"):
        kept.pop()

"""Whether who answers our question says that the mail in question was not theirs."""

# ruff: noqa: RUF001 -- the letters of other languages are meant

import re

_NOT_MINE = re.compile(
    r"(?:\bnot|n['’]t|\b(?:was|is)nt)\s(?:been\s)?(?:me|mine|us|ours)\b|\bnot\s(?:\w{1,20}\s){0,2}(?:by|from)\s(?:me|us)\b"
    r"|\b(?:did(?:n['’]?t|\snot)|have(?:n['’]?t|\snot)|never)\s(?:ever\s)?(?:sen[dt]|wr[io]te|written|e?-?mail|contact|request|ask)"
    r"|\bnicht\s(?:ich|von\s(?:mir|uns)|geschrieben|geschickt|gesendet|verfasst|beantragt|angefordert)\b|\bich\snicht\b"
    r"|\bnie(?:mals)?\s(?:geschrieben|geschickt|beantragt|angefordert)\b"
    r"|\bpas\s(?:de\s|par\s)?moi\b|\b(?:pas|jamais|rien)\s(?:envoyé|écrit|demandé)\b"
    r"|\bno\s(?:fui|he\ssido|era|soy)\syo\b|\byo\sno\b|\bno\s(?:l[oa]\s)?(?:envié|escribí|mandé|pedí|solicité|he\s(?:enviado|escrito))"
    r"|\bnão\s(?:fui|era|sou)\seu\b|\bnão\s(?:enviei|escrevi|pedi|solicitei)\b"
    r"|\bnon\s(?:sono\sstat[oa]|ero)\sio\b|\bnon\s(?:l['’])?ho\s(?:scritt|inviat|mandat|richiest)"
    r"|\bniet\s(?:ik|van\smij|door\smij|gestuurd|verstuurd|geschreven)\b|\bik\sniet\b"
    r"|\bне\s(?:я|от\sменя)\b|\bне\s(?:писал|отправлял|запрашивал|просил)"
    r"|私では(?:ありません|ない)|送っていません|送信していません|覚え[はが](?:ない|ありません)|不是我|没有发|沒有發|非本人"
    r"|\bلست\s(?:أنا|انا)\b|\bليس(?:ت)?\sمني\b|\bلم\s(?:أكتب|اكتب|أرسل|ارسل|أطلب|اطلب)|\bלא\s(?:אני|כתבתי|שלחתי|ביקשתי)\b"
    r"|\bnie\s(?:ja|ode\smnie|pisał[ae]m|wysłał[ae]m|wysyłał[ae]m|prosił[ae]m)\b|\bne(?:psal|poslal|žádal)|\bnebyl[a]?\sjsem\sto\sjá"
    r"|\bне\s(?:писа[вл]|надсилав|просив)|\bnem\s(?:én|írtam|küldtem|kértem)\b|\bnu\s(?:eu|am\s(?:scris|trimis|cerut))\b"
    r"|\bben\sdeğil|(?:yazma|gönderme|isteme|talep\setme)dım\b|\bδεν\s(?:ήμουν|έγραψα|έστειλα|ζήτησα)"
    r"|\binte\s(?:jag|från\smig)\b|\bikke\s(?:fra\s)?(?:mig|meg)\b|\b(?:skrev|skickade|sendte)\si(?:nte|kke)\b"
    r"|\ben\s(?:minä|lähettänyt|kirjoittanut|pyytänyt)\b|제가\s?아[니닙]|(?:보내|쓰|요청하)지\s?않았|không\sphải\stôi|bukan\ssaya",
    re.IGNORECASE,
)
_NUMBER = (
    r"no[ \t]{0,3}[.:]{1,2}[ \t]{0,3}(?:(?:de|del|of)\s(?:(?:la|el|mi|the|my)\s)?"
    r"(?:pedido|orden|compra|factura|transac|recibo|trabajo|tarea|commande|facture|order|purchase|invoice|transaction|job)"
    r"|[A-Za-z]{1,20}[ \t]{0,3}:|[A-Za-z_.#-]{0,40}\d)"
)
"""The number of something: "No. de pedido", "No. order: a7", "No. 77"."""
_NO = re.compile(
    rf"^[^\w\n]{{0,9}}(?!{_NUMBER})(?:nope|no|nein|non|não|nao|nee|nej|nei|nie|ne|ei|nem|hayır|όχι|нет|ні|لا|לא|아니[요오]|아뇨|không"
    r"|bukan|tidak|いいえ|不)[ \t]{0,3}(?:[,.;:!–—،、。，！-]|$)",
    re.IGNORECASE | re.MULTILINE,
)


def denies(text: str) -> bool:
    """True where it says so, or begins a line with a plain no. Whoever reads too much into it gives a person one mail to read."""
    return _NOT_MINE.search(text) is not None or _NO.search(text) is not None

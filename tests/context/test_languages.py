# ruff: noqa: E501, RUF001 - letters of other alphabets are what this is about
"""Old encodings are told apart by the languages that are written in them."""

import pytest

from rlmbox.context.load.encodings import decoded
from rlmbox.context.load.languages import best_encoding

# Article 1 of the Universal Declaration of Human Rights, which is there in all languages.
ARTICLE = {
    "Czech": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a mají"
    " spolu jednat v duchu bratrství.",
    "Slovak": "Všetci ľudia sa rodia slobodní a sebe rovní, čo sa týka ich dôstojnosti a práv. Sú obdarení rozumom a"
    " majú navzájom jednať v bratskom duchu.",
    "Polish": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i"
    " sumieniem i powinni postępować wobec innych w duchu braterstwa.",
    "Hungarian": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel és"
    " lelkiismerettel bírván, egymással szemben testvéri szellemben kell hogy viseltessenek.",
    "Romanian": "Toate fiinţele umane se nasc libere şi egale în demnitate şi în drepturi. Ele sunt înzestrate cu raţiune"
    " şi conştiinţă şi trebuie să se comporte unele faţă de altele în spiritul fraternităţii.",
    "Croatian": "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima. Ona su obdarena razumom i"
    " sviješću i trebaju jedna prema drugima postupati u duhu bratstva. Također može naučiti.",
    "Slovene": "Vsi ljudje se rodijo svobodni in imajo enako dostojanstvo in enake pravice. Obdarjeni so z razumom in"
    " vestjo in bi morali ravnati drug z drugim kakor bratje; človeška družba naj še živi.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve"
    " birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de"
    " conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt"
    " und sollen einander im Geist der Brüderlichkeit begegnen. Größe, Äpfel.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y"
    " conciencia, deben comportarse fraternalmente los unos con los otros, según el año.",
    "Portuguese": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de"
    " consciência, devem agir uns para com os outros em espírito de fraternidade.",
    "Italian": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di"
    " coscienza e devono agire gli uni verso gli altri in spirito di fratellanza, perché così è più giusto.",
    "Danish": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og"
    " samvittighed, og de bør handle mod hverandre i en broderskabets ånd.",
    "Swedish": "Alla människor är födda fria och lika i värde och rättigheter. De har utrustats med förnuft och samvete"
    " och bör handla gentemot varandra i en anda av gemenskap.",
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki ja"
    " omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
    "Icelandic": "Hver maður er borinn frjáls og jafn öðrum að virðingu og réttindum. Menn eru gæddir vitsmunum og"
    " samvisku, og ber þeim að breyta bróðurlega hverjum við annan.",
    "Lithuanian": "Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis. Jiems suteiktas protas ir sąžinė ir jie"
    " turi elgtis vienas kito atžvilgiu kaip broliai.",
    "Latvian": "Visi cilvēki piedzimst brīvi un vienlīdzīgi savā pašcieņā un tiesībās. Viņi ir apveltīti ar saprātu un"
    " sirdsapziņu, un viņiem jāizturas citam pret citu brālības garā.",
    "Estonian": "Kõik inimesed sünnivad vabadena ja võrdsetena oma väärikuselt ja õigustelt. Neile on antud mõistus ja"
    " südametunnistus ja nende suhtumist üksteisesse peab kandma vendluse vaim.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и"
    " должны поступать в отношении друг друга в духе братства.",
    "Ukrainian": "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю і"
    " повинні діяти у відношенні один до одного в дусі братерства.",
    "Bulgarian": "Всички хора се раждат свободни и равни по достойнство и права. Те са надарени с разум и съвест и следва"
    " да се отнасят помежду си в дух на братство.",
    "Serbian": "Сва људска бића рађају се слободна и једнака у достојанству и правима. Она су обдарена разумом и свешћу"
    " и треба једни према другима да поступају у духу братства.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με"
    " λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג"
    " איש ברעהו ברוח של אחווה.",
    "Arabic": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح"
    " الإخاء.",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられて"
    "おり、互いに同胞の精神をもって行動しなければならない。",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "Traditional Chinese": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았으며"
    " 서로 형제애의 정신으로 행동하여야 한다.",
}
WEST = ("cp1252", "iso8859-15", "mac-roman", "cp850")
EAST = ("cp1250", "iso8859-2", "cp852")
CYRILLIC = ("cp1251", "iso8859-5")
ENCODINGS = {
    **dict.fromkeys(("French", "German", "Spanish", "Portuguese", "Italian", "Danish", "Swedish", "Finnish"), WEST),
    "Icelandic": ("cp1252",),
    **dict.fromkeys(("Czech", "Slovak", "Polish", "Hungarian", "Romanian", "Croatian", "Slovene"), EAST),
    "Turkish": ("cp1254", "iso8859-9"),
    **dict.fromkeys(("Lithuanian", "Latvian", "Estonian"), ("cp1257", "iso8859-13")),
    "Russian": (*CYRILLIC, "koi8-r", "cp866", "mac-cyrillic"),
    "Ukrainian": (*CYRILLIC, "koi8-u"),
    "Bulgarian": CYRILLIC,
    "Serbian": CYRILLIC,
    "Greek": ("cp1253", "iso8859-7"),
    "Hebrew": ("cp1255", "iso8859-8"),
    "Arabic": ("cp1256",),
    "Thai": ("cp874", "tis-620"),
    "Japanese": ("cp932", "euc_jp"),
    "Chinese": ("gb2312", "gb18030"),
    "Traditional Chinese": ("big5",),
    "Korean": ("euc_kr",),
}
CASES = [(language, encoding) for language, encodings in ENCODINGS.items() for encoding in encodings]


@pytest.mark.parametrize(("language", "encoding"), CASES)
@pytest.mark.parametrize("times", [1, 200], ids=["once", "long"])
def test_a_paragraph_is_recognised(language: str, encoding: str, times: int):
    text = (ARTICLE[language] + "\n") * times
    data = text.encode(encoding)
    assert data.decode(best_encoding(data) or "utf-8", "replace") == text


def sentences(language: str) -> list[str]:
    words = ARTICLE[language].split()
    return [" ".join(words[at : at + 8]) for at in range(0, len(words) - 8, 4)]


@pytest.mark.parametrize(("language", "encoding"), CASES)
def test_most_lines_of_eight_words_are_recognised(language: str, encoding: str):
    lines = [line for line in sentences(language) if not line.isascii()]
    right = 0
    for line in lines:
        data = line.encode(encoding)
        right += data.decode(best_encoding(data) or "utf-8", "replace") == line
    assert right >= 0.6 * len(lines), f"{right} of {len(lines)}"


@pytest.mark.parametrize(
    ("cell", "encoding"),
    [
        ("김철수", "euc_kr"),
        ("東京都", "cp932"),
        ("部品", "cp932"),
        ("東京", "euc_jp"),
        ("Иванов", "cp1251"),
        ("Москва", "koi8-r"),
        ("Москва", "cp866"),
        ("北京", "gbk"),
        ("螺丝", "gbk"),
        ("Dvořák", "cp1250"),
        ("Kovács Őri", "cp1250"),
        ("Łódź", "iso8859-2"),
        ("Müller", "cp1252"),
        ("José", "cp1252"),
        ("50 €", "cp1252"),
        ("5°", "cp1252"),
        ("Müller", "cp850"),
        ("café", "mac-roman"),
        ("Şahin", "cp1254"),
        ("Αθήνα", "cp1253"),
    ],
)
def test_one_cell_of_a_table_is_recognised(cell: str, encoding: str):
    rows = [f"{number},item{number},{number * 3}" for number in range(60)]
    data = "\n".join(["id,name,qty", *rows, f"99,{cell},5"]).encode(encoding)
    assert data.decode(best_encoding(data) or "utf-8", "replace").endswith(f"\n99,{cell},5")


@pytest.mark.parametrize("language", ["Russian", "Greek", "Hebrew", "Arabic", "Thai", "Japanese", "Chinese", "Korean"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised(language: str, encoding: str):
    text = (ARTICLE[language] + "\n") * 3
    found = decoded(text.encode(encoding))
    assert (found.content.data.decode(), found.encoding) == (text, encoding)


@pytest.mark.parametrize(
    ("language", "encoding"), [("Japanese", "iso2022_jp"), ("Korean", "iso2022_kr"), ("Chinese", "hz")]
)
def test_an_encoding_of_seven_bits_is_recognised_by_its_escapes(language: str, encoding: str):
    text = (ARTICLE[language] + "\n") * 3
    found = decoded(text.encode(encoding))
    assert (found.content.data.decode(), found.is_guess) == (text, False)


@pytest.mark.parametrize("text", ["plain ~{text~} in braces", "\x1b[31mred\x1b[0m", "a$B c", "~{abc~}"])
def test_ascii_is_ascii(text: str):
    assert decoded(text.encode()).encoding == "utf-8"

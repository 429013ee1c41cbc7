// Tell the languages of a text apart by their letters, so that each can be labelled and set in its own direction.

const LANGUAGE_SCRIPTS = [
  { script: "Latin", name: "Latin letters", letters: /\p{Script=Latin}/gu },
  { script: "Arabic", name: "Arabic", letters: /\p{Script=Arabic}/gu, rightToLeft: true },
  { script: "Hebrew", name: "Hebrew", letters: /\p{Script=Hebrew}/gu, rightToLeft: true },
  { script: "Japanese", name: "Japanese", letters: /[\p{Script=Hiragana}\p{Script=Katakana}]/gu },
  { script: "Han", name: "Chinese characters", letters: /\p{Script=Han}/gu },
  { script: "Hangul", name: "Korean", letters: /\p{Script=Hangul}/gu },
  { script: "Cyrillic", name: "Cyrillic letters", letters: /\p{Script=Cyrillic}/gu },
  { script: "Greek", name: "Greek", letters: /\p{Script=Greek}/gu },
  { script: "Devanagari", name: "Hindi", letters: /\p{Script=Devanagari}/gu },
  { script: "Thai", name: "Thai", letters: /\p{Script=Thai}/gu },
];
// Letters that Persian has and Arabic has not, and letters that only Urdu has.
const PERSIAN_LETTERS = /[\u067e\u0686\u0698\u06af\u06a9\u06cc]/u;
const URDU_LETTERS = /[\u0679\u0688\u0691\u06ba\u06d2\u06c1\u06be]/u;
// A sentence ends here; a clause without letters, such as the "5" of "x is 3.5", belongs to the one before it.
const SENTENCES = /[^.!?\u061f\u3002\uff01\uff1f\n]*(?:[.!?\u061f\u3002\uff01\uff1f\n]+|$)\s*/gu;

// Formulas such as "6 + 7 - 3" or "(x - 4) * 2": they run left to right in every language.
const OPERAND = String.raw`\(*(?:\d+(?:\.\d+)?|\b[a-z]\b)\)*`;
const FORMULAS = new RegExp(String.raw`(${OPERAND}(?:\s*[-+*/=^]\s*${OPERAND})+)`, "u");

// What a text in Arabic script is called that has no letter to tell Persian, Urdu and Arabic apart: what the texts
// around it are.
let arabicLanguage = "Arabic script";

function noteArabicLanguage(texts) {
  for (const text of texts) {
    if (URDU_LETTERS.test(text)) return void (arabicLanguage = "Urdu");
    if (PERSIAN_LETTERS.test(text)) return void (arabicLanguage = "Persian");
  }
}

/** Return the scripts of a text's words, most letters first; single Latin letters are variables, not words. */
function scriptsOf(text) {
  const counts = [];
  for (const script of LANGUAGE_SCRIPTS) {
    const letters = script.script === "Latin" ? text.match(/\p{Script=Latin}{2,}/gu) : text.match(script.letters);
    if (letters) counts.push([script, letters.join("").length]);
  }
  return counts.sort((a, b) => b[1] - a[1]).map(([script]) => script);
}

function languageName(script, text) {
  if (script.script !== "Arabic") return script.name;
  if (URDU_LETTERS.test(text)) return "Urdu";
  return PERSIAN_LETTERS.test(text) ? "Persian" : arabicLanguage;
}

/** Return rtl or ltr, by most of a text's words: its first letter may be a variable, as in "f(x)". */
function textDirection(text) {
  return scriptsOf(text)[0]?.rightToLeft ? "rtl" : "ltr";
}

/** Return the direction of the first piece of a text, which a preview in one line has as a whole. */
function firstDirection(text) {
  return textDirection(languageSegments(text)[0]?.text || "");
}

/** Return a text in one line as nodes, each language in its own direction, one after the other. */
function previewNodes(text) {
  return languageSegments(text).map((segment) =>
    element("bdi", { dir: textDirection(segment.text) }, ...directedNodes(segment.text)),
  );
}

/** Return a text as nodes, in which formulas run left to right also where the text runs right to left. */
function directedNodes(text, search = "") {
  if (textDirection(text) === "ltr") return [highlight(text, search)];
  return text
    .split(FORMULAS)
    .filter(Boolean)
    .map((piece) => {
      const node = highlight(piece, search);
      return FORMULAS.test(piece) ? element("bdi", { dir: "ltr" }, node) : node;
    });
}

/** Return what a reader is told of the language of a piece of text, such as "Persian, right to left". */
function languageLabel(scripts, languageOfText) {
  if (scripts.length > 1) {
    const names = scripts.map((script) => (script.script === "Arabic" ? languageOfText : script.name));
    return `mixed in one sentence: ${names.join(" and ")}`;
  }
  const name = scripts[0].script === "Arabic" ? languageOfText : scripts[0].name;
  return scripts[0].rightToLeft ? `${name}, right to left` : name;
}

/** Return the pieces of a text with their labels; one piece without a label where all is in Latin letters. */
function languageSegments(text) {
  const all = scriptsOf(text);
  if (!all.some((script) => script.script !== "Latin")) return [{ text, label: null }];
  const arabic = all.find((script) => script.script === "Arabic");
  const language = arabic ? languageName(arabic, text) : "";
  const segments = [];
  for (const sentence of text.match(SENTENCES) || []) {
    if (!sentence) continue;
    const scripts = scriptsOf(sentence);
    const label = scripts.length ? languageLabel(scripts, language) : null;
    const last = segments[segments.length - 1];
    if (last && (label === null || last.label === null || last.label === label)) {
      last.text += sentence;
      last.label ??= label;
    } else {
      segments.push({ text: sentence, label });
    }
  }
  return segments;
}

/** Return the language of a text in one word, "mixed" for several; null where all is in Latin letters. */
function shortLanguageLabel(text) {
  const scripts = scriptsOf(text);
  if (!scripts.some((script) => script.script !== "Latin")) return null;
  return scripts.length > 1 ? "mixed" : languageName(scripts[0], text);
}

/**
 * Reads how packages tell their licence (Debian's `GPL-1+ or Artistic, and Expat`, Fedora's old `GPLv2+ and
 * (MIT or ASL 2.0)`, SPDX's own) and writes it as an SPDX licence expression (SPDX 2.3, annex D).
 * @module
 */
import { spdxName } from "./license-name.ts";

/** Gives what SPDX has no name for a name of the document's own, `LicenseRef-…`. */
export type NameReference = (words: string) => string;

/** An expression as a tree. */
export type LicenseExpression =
  | { readonly kind: "license"; readonly text: string }
  | { readonly kind: "and" | "or"; readonly parts: readonly LicenseExpression[] };

type Operator = "and" | "or";

/**
 * Reads a licence as a package tells it. Whatever SPDX has no name for, exceptions among it, is asked of
 * `name`: SPDX 2.3 allows no exception of one's own, so that such a one names the whole.
 */
export function readLicense(told: string, name: NameReference): LicenseExpression {
  const text = told
    .replaceAll(/_(and|or)_/gi, " $1 ")
    .replaceAll(/\s+or\s+(?:\(at your option\)\s+)?(?:any\s+)?(?:later|newer)(?:\s+versions?)?(?![\w-])/gi, "+")
    .trim();
  // Both readings are in use: that one may choose, and that parts are under the one and parts under the other.
  if (/\sand\/or\s/i.test(text)) return { kind: "license", text: name(text) };
  const tokens = text.match(/[(),]|[^\s(),]+/g) ?? [];
  const names: string[] = [];
  // Names are given once the whole could be read: those of an attempt would stay in the document.
  const reader = new Reader(tokens, (words) => `${names.push(words) - 1}`);
  const expression = reader.list();
  // Brackets that do not match, or an operator without what it joins: no reading can be trusted.
  if (!reader.atEnd) return { kind: "license", text: name(text) };
  return replaceNames(expression, names.map(name));
}

/** That all of these hold. */
export function allLicenses(expressions: readonly LicenseExpression[]): LicenseExpression {
  return combine("and", expressions);
}

/** The text of an expression: what is joined is in order, each once, with brackets only where they are needed. */
export function formatLicense(expression: LicenseExpression): string {
  if (expression.kind === "license") return expression.text;
  const parts = [...new Set(expression.parts.map(formatLicense))].sort();
  if (expression.kind === "or" || parts.length === 1) return parts.join(" OR ");
  const alternatives = new Set(expression.parts.filter(({ kind }) => kind === "or").map(formatLicense));
  return parts
    .map((text) => (alternatives.has(text) && text.includes(" OR ") ? `(${text})` : text))
    .sort()
    .join(" AND ");
}

class Reader {
  readonly #tokens: readonly string[];
  readonly #name: NameReference;
  #at = 0;

  constructor(tokens: readonly string[], name: NameReference) {
    this.#tokens = tokens;
    this.#name = name;
  }

  get atEnd(): boolean {
    return this.#at === this.#tokens.length;
  }

  /** What commas separate: they bind least (Debian's copyright format 1.0, "License short name"). */
  list(): LicenseExpression {
    const parts: LicenseExpression[] = [this.#alternatives()];
    const operators: (Operator | undefined)[] = [];
    while (this.#take(",")) {
      operators.push(this.#takeOperator());
      parts.push(this.#alternatives());
    }
    const last = parts.at(-1);
    // `A, B or C` and `A, B, or C` are one list of alternatives.
    const chosen =
      operators.length > 0 &&
      !operators.includes("and") &&
      (operators.includes("or") ||
        (last?.kind === "or" && parts.slice(0, -1).every((part) => part.kind === "license")));
    return combine(chosen ? "or" : "and", parts);
  }

  #alternatives(): LicenseExpression {
    const parts = [this.#conjunction()];
    while (this.#takeWord("or")) parts.push(this.#conjunction());
    return combine("or", parts);
  }

  #conjunction(): LicenseExpression {
    const parts = [this.#term()];
    while (this.#takeWord("and")) parts.push(this.#term());
    return combine("and", parts);
  }

  #term(): LicenseExpression {
    if (this.#take("(")) {
      const inner = this.list();
      // Without its end, what follows is left over and the whole is one name.
      if (!this.#take(")")) this.#at = -1;
      return inner;
    }
    const license = this.#words();
    if (!this.#takeWord("with")) return { kind: "license", text: spdxName(license) ?? this.#name(license) };
    const whole = `${license} with ${this.#words()}`;
    return { kind: "license", text: spdxName(whole) ?? this.#name(whole) };
  }

  /** Words up to an operator; brackets amid them, as in `BSD (3 clause)`, belong to them. */
  #words(): string {
    const words: string[] = [];
    let depth = 0;
    for (; this.#at >= 0 && this.#at < this.#tokens.length; this.#at++) {
      const token = this.#tokens[this.#at] ?? "";
      if (token === "(") depth++;
      else if (depth === 0 && (token === ")" || token === "," || /^(?:and|or|with)$/i.test(token))) break;
      else if (token === ")") depth--;
      words.push(token);
    }
    if (words.length === 0) this.#at = -1;
    return words.join(" ").replaceAll("( ", "(").replaceAll(" )", ")");
  }

  #takeOperator(): Operator | undefined {
    if (this.#takeWord("and")) return "and";
    return this.#takeWord("or") ? "or" : undefined;
  }

  #takeWord(word: Operator | "with"): boolean {
    if (this.#tokens[this.#at]?.toLowerCase() !== word) return false;
    this.#at++;
    return true;
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }
}

function combine(kind: Operator, parts: readonly LicenseExpression[]): LicenseExpression {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  return { kind, parts: parts.flatMap((part) => (part.kind === kind ? part.parts : [part])) };
}

function replaceNames(expression: LicenseExpression, names: readonly string[]): LicenseExpression {
  if (expression.kind !== "license")
    return { kind: expression.kind, parts: expression.parts.map((part) => replaceNames(part, names)) };
  const { text } = expression;
  return /^\d+$/.test(text) ? { kind: "license", text: names[Number(text)] ?? text } : expression;
}

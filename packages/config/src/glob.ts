/**
 * Shell patterns on whole texts: `*`, `?`, `[a-z]`, `[!a-z]`; case counts, and `*` crosses slashes
 * (the rules of fnmatch without flags).
 * @module
 */

/** Whether the whole text fits the pattern. Linear in the pattern times the text: nothing backtracks twice. */
export function globMatches(pattern: string, text: string): boolean {
  const parts = compile(pattern);
  let p = 0;
  let t = 0;
  let star = -1;
  let retry = 0;
  const characters = Array.from(text);
  while (t < characters.length) {
    const part = parts[p];
    if (part === "*") {
      star = p++;
      retry = t;
    } else if (part !== undefined && part(characters[t] ?? "")) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (parts[p] === "*") p++;
  return p === parts.length;
}

type Part = "*" | ((character: string) => boolean);

function compile(pattern: string): Part[] {
  const characters = Array.from(pattern);
  const parts: Part[] = [];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? "";
    if (character === "*") {
      if (parts.at(-1) !== "*") parts.push("*");
    } else if (character === "?") {
      parts.push(() => true);
    } else if (character === "[") {
      const negated = characters[i + 1] === "!";
      const start = i + (negated ? 2 : 1);
      // A bracket right at the start of the set belongs to the set.
      const end = characters.indexOf("]", start + 1);
      if (end < 0) {
        parts.push((candidate) => candidate === "[");
      } else {
        const set = characters.slice(start, end);
        parts.push((candidate) => inSet(set, candidate) !== negated);
        i = end;
      }
    } else {
      parts.push((candidate) => candidate === character);
    }
  }
  return parts;
}

function inSet(set: readonly string[], character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  for (let i = 0; i < set.length; i++) {
    const low = set[i]?.codePointAt(0) ?? 0;
    const ranged = set[i + 1] === "-" && i + 2 < set.length;
    const high = ranged ? (set[i + 2]?.codePointAt(0) ?? 0) : low;
    if (code >= low && code <= high) return true;
    if (ranged) i += 2;
  }
  return false;
}

/**
 * Splits text into words as a POSIX shell does, without any expansion: single quotes, double quotes
 * and backslashes, the rules of Python's shlex in POSIX mode, which mkosi's dictionaries follow.
 * @module
 */
import { ConfigError } from "./errors.ts";

/**
 * The words between characters of `separators`. Empty quotes give an empty word.
 * @throws ConfigError when a quote is not closed or a backslash ends the text
 */
export function splitWords(text: string, separators: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (quote === "'") {
      if (character === "'") quote = "";
      else word = (word ?? "") + character;
    } else if (quote === '"') {
      if (character === '"') quote = "";
      else if (character === "\\" && (text[i + 1] === '"' || text[i + 1] === "\\")) word = (word ?? "") + text[++i];
      else word = (word ?? "") + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (character === "\\") {
      if (i + 1 === text.length) throw unclosed("a backslash ends the text");
      word = (word ?? "") + text[++i];
    } else if (separators.includes(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== "") throw unclosed(`missing closing ${quote}`);
  if (word !== undefined) words.push(word);
  return words;
}

function unclosed(message: string): ConfigError {
  return new ConfigError(message, { code: "quote-open", hint: "write \\' or \\\" for the character itself" });
}

/**
 * mkosi's INI dialect, with the line of every value.
 *
 * The text is dedented as a whole; `#` starts a comment anywhere and cannot be escaped; a key may
 * repeat; an indented line continues the value above, joined by a newline; blank lines and comments
 * do not end a value. The `ini` package of npm is not used: it merges repeated keys and sections,
 * reads `;` as a comment, `a.b` as nesting and `true` as a boolean, knows no continuation and keeps
 * no lines, so nothing of the text would be left for it to read.
 * @module
 */
import type { Problem } from "./problem.ts";

/** One `Key=Value`, with the value's continuation lines. */
export interface IniEntry {
  readonly key: string;
  /** The lines of the value, each trimmed, joined by newlines. */
  readonly value: string;
  /** Line of the key, counted from 1. */
  readonly line: number;
  /** The line in the file of each line of the value. */
  readonly lines: readonly number[];
}

export interface IniSection {
  readonly name: string;
  readonly line: number;
  readonly entries: readonly IniEntry[];
}

export interface IniDocument {
  /** In the order of the file; a section that is written twice is there twice. */
  readonly sections: readonly IniSection[];
  readonly errors: readonly Problem[];
}

/** More text than this is not a configuration file; in UTF-16 units. */
const maximumLength = 1024 ** 2;
const maximumLines = 20_000;
/** A file with more mistakes than this is not INI at all; the rest is noise. */
const maximumErrors = 20;

interface OpenEntry {
  key: string;
  line: number;
  values: string[];
  lines: number[];
}

/**
 * Reads a file's text. Never throws: what cannot be read is in `errors`, with file and line, and the
 * rest is returned.
 */
export function parseIni(text: string, file: string): IniDocument {
  const errors: Problem[] = [];
  const sections: { name: string; line: number; entries: IniEntry[] }[] = [];
  const fail = (line: number, message: string, hint?: string): void => {
    if (errors.length < maximumErrors)
      errors.push({ code: "ini-syntax", file, line, message, ...(hint === undefined ? {} : { hint }) });
    else if (errors.length === maximumErrors) errors.push({ code: "ini-syntax", file, line, message: "more mistakes" });
  };
  if (text.length > maximumLength) {
    fail(1, `${text.length} characters are too many for a configuration file`);
    return { sections, errors };
  }

  const lines = dedent(text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/));
  if (lines.length > maximumLines) {
    fail(maximumLines + 1, `${lines.length} lines are too many for a configuration file`);
    return { sections, errors };
  }

  let section: { name: string; line: number; entries: IniEntry[] } | undefined;
  let open: OpenEntry | undefined;
  const close = (): void => {
    if (open !== undefined && section !== undefined)
      section.entries.push({ key: open.key, value: open.values.join("\n"), line: open.line, lines: open.lines });
    open = undefined;
  };

  for (const [index, whole] of lines.entries()) {
    const number = index + 1;
    const comment = whole.indexOf("#");
    const raw = comment < 0 ? whole : whole.slice(0, comment);
    const line = raw.trim();
    if (line === "") continue;
    if (open !== undefined && /^\s/.test(raw)) {
      open.values.push(line);
      open.lines.push(number);
      continue;
    }
    close();
    if (line.startsWith("[")) {
      const name = line.slice(1, -1).trim();
      if (!line.endsWith("]")) fail(number, `section header without closing bracket: ${shorten(line)}`);
      else if (name === "") fail(number, "section header without a name");
      section = { name, line: number, entries: [] };
      if (line.endsWith("]") && name !== "") sections.push(section);
      continue;
    }
    const equals = line.indexOf("=");
    const key = (equals < 0 ? line : line.slice(0, equals)).trim();
    if (section === undefined) {
      fail(number, `${shorten(key)} is outside of any section`, "put a section header above it, such as [Content]");
      // The header is missing once, not once for each setting below.
      section = { name: "", line: number, entries: [] };
    } else if (equals < 0) {
      fail(number, `expected Setting=Value, found ${shorten(line)}`);
    } else if (key === "") {
      fail(number, `missing setting name before "="`);
    } else {
      open = { key, line: number, values: [line.slice(equals + 1).trim()], lines: [number] };
    }
  }
  close();
  return { sections, errors };
}

/** Removes the indentation that all lines with text share, tabs and spaces being different. */
function dedent(lines: readonly string[]): string[] {
  let margin: string | undefined;
  for (const line of lines) {
    if (line.trim() === "") continue;
    const indent = /^[ \t]*/.exec(line)?.[0] ?? "";
    if (margin === undefined) margin = indent;
    let length = 0;
    while (length < margin.length && margin[length] === indent[length]) length++;
    margin = margin.slice(0, length);
    if (margin === "") break;
  }
  const width = margin?.length ?? 0;
  return lines.map((line) => (line.trim() === "" ? "" : line.slice(width)));
}

function shorten(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

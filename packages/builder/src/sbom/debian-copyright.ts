/**
 * Debian's machine-readable copyright files
 * (debian.org/doc/packaging-manuals/copyright-format/1.0): which licences the files of a package have.
 * @module
 */

/** A licence as the file tells it: an expression of short names, or none, and the text below it. */
export interface ToldLicense {
  readonly expression: string;
  readonly text: string;
}

export interface DebianCopyright {
  /** Of the whole and of each set of files. */
  readonly licenses: readonly ToldLicense[];
  /** The texts that the file has of its own for short names (in small letters, single spaces). */
  readonly texts: ReadonlyMap<string, string>;
}

/** Undefined for a file in another form. */
export function parseDebianCopyright(content: string): DebianCopyright | undefined {
  const paragraphs = content
    .replaceAll("\r\n", "\n")
    .split(/\n(?:[ \t]*\n)+/)
    .map(parseFields);
  const [header] = paragraphs;
  if (header === undefined || !(header.has("format") || header.has("format-specification"))) return undefined;
  const texts = new Map<string, string>();
  const told: ToldLicense[] = [];
  const alone: ToldLicense[] = [];
  for (const fields of paragraphs) {
    const value = fields.get("license");
    if (value === undefined) continue;
    const [first = "", ...rest] = value.split("\n");
    const license = { expression: first.trim(), text: plainText(rest) };
    if (license.text !== "" && license.expression !== "") {
      const key = shortName(license.expression);
      if (!texts.has(key)) texts.set(key, license.text);
    }
    // A paragraph of a licence alone gives the text of a name that others use, and says nothing about files.
    (fields === header || fields.has("files") ? told : alone).push(license);
  }
  // Files of the format's drafts may name no files where there is one licence for all.
  return { licenses: told.length === 0 ? alone : told, texts };
}

/** The form in which short names are compared. */
export function shortName(name: string): string {
  return name.trim().replaceAll(/\s+/g, " ").toLowerCase();
}

function parseFields(paragraph: string): Map<string, string> {
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const line of paragraph.split("\n")) {
    if (line.startsWith("#")) continue;
    if (/^[ \t]/.test(line)) {
      if (name !== undefined) fields.set(name, `${fields.get(name) ?? ""}\n${line}`);
      continue;
    }
    const parts = /^([^\s:]+):(.*)$/.exec(line);
    name = parts?.[1]?.toLowerCase();
    if (name !== undefined) fields.set(name, parts?.[2] ?? "");
  }
  return fields;
}

/** Without the space that marks a continued line, and the dot that stands for an empty one. */
function plainText(lines: readonly string[]): string {
  return lines
    .map((line) => line.slice(1).trimEnd())
    .map((line) => (line.trim() === "." ? "" : line))
    .join("\n")
    .trim();
}

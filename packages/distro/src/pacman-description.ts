/**
 * What pacman's databases say of one package: a file `desc` in them, or in an archive of them.
 * @module
 */

/** The fields of a `desc` file: `%NAME%`, its values on a line each, an empty line. */
export function parseDescription(text: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (const block of text.split(/\n{2,}/)) {
    const [head = "", ...values] = block.split("\n").filter((line) => line !== "");
    const name = /^%(\w+)%$/.exec(head)?.[1];
    if (name !== undefined) fields.set(name, values);
  }
  return fields;
}

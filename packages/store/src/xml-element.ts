/**
 * Elements of the XML that storage services answer with: of a fixed form, of which a handful matter. No
 * attribute and no nesting of an element within itself is ever asked for.
 * @module
 */

/** The text of the first element of the name; undefined when there is none. */
export function element(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}(?:\\s[^<>]*)?>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replaceAll(/&(amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-f]{1,6});/gi, (_, entity: string) =>
    unescape(entity),
  );
}

/** What stands within each element of the name; undefined when one does not end. Whatever the server sends is looked through once. */
export function elements(xml: string, name: string): string[] | undefined {
  const [open, close] = [`<${name}>`, `</${name}>`];
  const found: string[] = [];
  for (let start = xml.indexOf(open); start >= 0; start = xml.indexOf(open, start)) {
    const end = xml.indexOf(close, start);
    if (end < 0) return undefined;
    found.push(xml.slice(start + open.length, end));
    start = end + close.length;
  }
  return found;
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescape(entity: string): string {
  if (!entity.startsWith("#")) return entities[entity.toLowerCase()] ?? "";
  const code = /^#x/i.test(entity) ? Number.parseInt(entity.slice(2), 16) : Number(entity.slice(1));
  return code <= 0x10ffff ? String.fromCodePoint(code) : "\uFFFD";
}

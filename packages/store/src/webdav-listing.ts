/**
 * The answer to PROPFIND: a multistatus of RFC 4918, 13. Servers choose the prefixes of its elements and
 * put declarations of namespaces where they like, so both are dropped before a handful of elements is read.
 * @module
 */
import { FormatError } from "@imgtool/core";
import { element, elements } from "./xml-element.ts";

/** A property of imgtool's own, in which writers leave when they have found a chunk: servers keep it for them. */
const usedProperty = '<used xmlns="urn:imgtool:store"/>';

/** What is asked for. */
export const propfindBody: Uint8Array = Buffer.from(
  '<?xml version="1.0" encoding="utf-8"?>\n<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/>' +
    `<getlastmodified/><getetag/>${usedProperty}</prop></propfind>\n`,
);

/** Marks a chunk as used. @param time milliseconds since 1970 */
export function markBody(time: number): Uint8Array {
  const property = usedProperty.replace("/>", `>${new Date(time).toISOString()}</used>`);
  return Buffer.from(
    `<?xml version="1.0" encoding="utf-8"?>\n<propertyupdate xmlns="DAV:"><set><prop>${property}</prop></set></propertyupdate>\n`,
  );
}

export interface ListedResource {
  /** Decoded path from the server's root on, without a slash at its end. */
  readonly path: string;
  readonly isFolder: boolean;
  readonly bytes: number | undefined;
  /** The later one of when it was written and when it was marked, in milliseconds since 1970. */
  readonly lastUsed: number | undefined;
  /** A strong ETag. */
  readonly version: string | undefined;
}

/** @throws FormatError `webdav-listing-invalid` */
export function parseMultistatus(bytes: Uint8Array, location: string): ListedResource[] {
  const text = new TextDecoder()
    .decode(bytes)
    .replaceAll(/<(\/?)(?:[\w.-]+:)?([\w.-]+)(?:\s[^<>]*?)?(\/?)>/g, "<$1$2$3>");
  if (!text.includes("<multistatus>") && !text.includes("<multistatus/>")) throw invalid(location, "no multistatus");
  const responses = elements(text, "response");
  if (responses === undefined || !/<\/multistatus>\s*$|<multistatus\/>\s*$/.test(text))
    throw invalid(location, "a multistatus without its end");
  return responses.map((response): ListedResource => {
    const path = pathOf(element(response, "href") ?? "");
    if (path === undefined) throw invalid(location, `a response without a href: ${response.slice(0, 200)}`);
    const length = element(response, "getcontentlength") ?? "";
    const etag = element(response, "getetag");
    const times = [element(response, "getlastmodified"), element(response, "used")]
      .map((time) => Date.parse(time ?? ""))
      .filter((time) => !Number.isNaN(time));
    return {
      path,
      isFolder: response.includes("<collection/>") || response.includes("<collection>"),
      bytes: /^\d+$/.test(length) ? Number(length) : undefined,
      lastUsed: times.length === 0 ? undefined : Math.max(...times),
      version: etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined,
    };
  });
}

function pathOf(href: string): string | undefined {
  const path = /^(?:https?:\/\/[^/]*)?(\/.*)$/i.exec(href.trim())?.[1];
  if (path === undefined) return undefined;
  try {
    return decodeURIComponent(path).replace(/\/+$/, "");
  } catch {
    return undefined;
  }
}

function invalid(location: string, found: string): FormatError {
  return new FormatError(`the listing of ${location} is not WebDAV's: found ${found}`, {
    code: "webdav-listing-invalid",
    hint: "check that the server answers PROPFIND as RFC 4918 says",
    data: { store: location, found },
  });
}

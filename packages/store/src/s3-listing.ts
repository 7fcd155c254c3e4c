/**
 * The answer to ListObjectsV2: XML of a fixed form, of which a handful of elements matter.
 * @module
 */
import { FormatError } from "@imgtool/core";

interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly lastModified: number;
}

export interface Listing {
  readonly objects: readonly ListedObject[];
  /** Undefined on the last page. */
  readonly nextToken: string | undefined;
}

/** @throws FormatError `s3-listing-invalid` */
export function parseListing(bytes: Uint8Array, location: string): Listing {
  const text = new TextDecoder().decode(bytes);
  if (!/<ListBucketResult[\s>]/.test(text)) throw invalid(location, "no ListBucketResult");
  const isEncoded = element(text, "EncodingType") === "url";
  const objects = Array.from(text.matchAll(/<Contents>(.*?)<\/Contents>/gs), ([, content = ""]): ListedObject => {
    const key = element(content, "Key");
    const size = Number(element(content, "Size") ?? Number.NaN);
    const lastModified = Date.parse(element(content, "LastModified") ?? "");
    if (key === undefined || !Number.isSafeInteger(size) || size < 0 || Number.isNaN(lastModified))
      throw invalid(location, `an object without Key, Size or LastModified: ${content.slice(0, 200)}`);
    return { key: isEncoded ? decodeKey(key, location) : key, bytes: size, lastModified };
  });
  const nextToken = element(text, "IsTruncated") === "true" ? element(text, "NextContinuationToken") : undefined;
  if (element(text, "IsTruncated") === "true" && nextToken === undefined)
    throw invalid(location, "a page that is not the last, without NextContinuationToken");
  return { objects, nextToken };
}

/** The text of the first element of the name. */
function element(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replaceAll(/&(amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-f]{1,6});/gi, (_, entity: string) =>
    unescape(entity),
  );
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescape(entity: string): string {
  if (!entity.startsWith("#")) return entities[entity.toLowerCase()] ?? "";
  const code = /^#x/i.test(entity) ? Number.parseInt(entity.slice(2), 16) : Number(entity.slice(1));
  return code <= 0x10ffff ? String.fromCodePoint(code) : "\uFFFD";
}

function decodeKey(key: string, location: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    throw invalid(location, `a key that is not percent-encoded: ${key}`);
  }
}

function invalid(location: string, found: string): FormatError {
  return new FormatError(`the listing of ${location} is not S3's: found ${found}`, {
    code: "s3-listing-invalid",
    hint: "check that the server speaks ListObjectsV2",
    data: { store: location, found },
  });
}

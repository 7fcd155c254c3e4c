/**
 * The answer to ListObjectsV2: XML of a fixed form, of which a handful of elements matter.
 * @module
 */
import { FormatError } from "@imgtool/core";
import { element, elements } from "./xml-element.ts";

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
  const contents = elements(text, "Contents");
  if (contents === undefined) throw invalid(location, "Contents without an end");
  const objects = contents.map((content): ListedObject => {
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

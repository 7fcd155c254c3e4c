/**
 * The answer to List Blobs.
 * @module
 */
import { FormatError } from "@imgtool/core";
import { element, elements } from "./xml-element.ts";

interface ListedBlob {
  readonly name: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly lastModified: number;
}

export interface BlobListing {
  readonly blobs: readonly ListedBlob[];
  /** Undefined on the last page. */
  readonly marker: string | undefined;
}

/** @throws FormatError `azure-listing-invalid` */
export function parseBlobListing(bytes: Uint8Array, location: string): BlobListing {
  const text = new TextDecoder().decode(bytes);
  if (!/<EnumerationResults[\s>]/.test(text)) throw invalid(location, "no EnumerationResults");
  const found = elements(text, "Blob");
  if (found === undefined) throw invalid(location, "a Blob without an end");
  const blobs = found.map((blob): ListedBlob => {
    const name = element(blob, "Name");
    const size = Number(element(blob, "Content-Length") ?? Number.NaN);
    const lastModified = Date.parse(element(blob, "Last-Modified") ?? "");
    if (name === undefined || !Number.isSafeInteger(size) || size < 0 || Number.isNaN(lastModified))
      throw invalid(location, `a blob without Name, Content-Length or Last-Modified: ${blob.slice(0, 200)}`);
    // names that XML cannot hold come percent-encoded
    const isEncoded = /<Name Encoded="true">/i.test(blob);
    return { name: isEncoded ? decode(name, location) : name, bytes: size, lastModified };
  });
  return { blobs, marker: element(text, "NextMarker") || undefined };
}

function decode(name: string, location: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw invalid(location, `a name that is not percent-encoded: ${name}`);
  }
}

function invalid(location: string, found: string): FormatError {
  return new FormatError(`the listing of ${location} is not Azure's: found ${found}`, {
    code: "azure-listing-invalid",
    hint: "check that the server speaks Azure Blob Storage's List Blobs",
    data: { store: location, found },
  });
}

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { azureEnvironment } from "./azure-credentials.ts";
import { parseBlobListing } from "./azure-listing.ts";
import { parseAzureLocation } from "./azure-location.ts";
import { sharedKeySigner, stringToSign } from "./azure-signature.ts";
import { parseHttpUrl } from "./http-target.ts";

// "Authorize with Shared Key", the example of the versions from 2015-02-21 on
test("what is signed is what Microsoft's reference shows", () => {
  const target = parseHttpUrl(
    "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20",
  );
  const headers = { "x-ms-version": "2015-02-21", "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", accept: "*/*" };
  expect(stringToSign("myaccount", { method: "GET", target, headers, body: undefined })).toBe(
    `GET${"\n".repeat(12)}x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n` +
      "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20",
  );
  const put = { "content-type": "text/plain; charset=UTF-8", "if-none-match": "*", "x-ms-blob-type": "BlockBlob" };
  const blob = parseHttpUrl("http://127.0.0.1:10000/myaccount/mycontainer/a%20b");
  expect(stringToSign("myaccount", { method: "PUT", target: blob, headers: put, body: Buffer.from("four") })).toBe(
    "PUT\n\n\n4\n\ntext/plain; charset=UTF-8\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n/myaccount/myaccount/mycontainer/a%20b",
  );
});

test("a signature has the time at which the request is sent", async () => {
  const sign = sharedKeySigner("account", Buffer.from("key").toString("base64"));
  const target = parseHttpUrl("https://account.blob.core.windows.net/c");
  const headers = await sign({ method: "PUT", target, headers: {}, body: new Uint8Array(0) });
  expect(Math.abs(Date.parse(headers["x-ms-date"] ?? "") - Date.now())).toBeLessThan(5000);
  expect(headers["authorization"]).toMatch(/^SharedKey account:[A-Za-z0-9+/]{43}=$/);
});

test.each([
  ["azure://account/container/a/b", "https://account.blob.core.windows.net/container", "a/b/"],
  ["azure://account/$web", "https://account.blob.core.windows.net/$web", ""],
  ["azure+https://storage.example:9000/account/container//a/", "https://storage.example:9000/account/container", "a/"],
  ["azure+http://127.0.0.1:10000/devstoreaccount1/c-1/x y", "http://127.0.0.1:10000/devstoreaccount1/c-1", "x y/"],
])("%s is a container at %s", (location, url, prefix) => {
  expect(parseAzureLocation(location)).toMatchObject({ target: { shown: url }, prefix });
});

test.each([
  "azure://",
  "azure://account",
  "azure://account/c/../d",
  "azure://account/c?x",
  "azure://Account/c",
  "azure://evil.example%2F/c",
  "azure://account/Con_tainer",
  "azure+http://host/account",
  "azure://account/c/a\nb",
])("%j is refused", (location) => {
  expect(() => parseAzureLocation(location)).toThrow(expect.objectContaining({ code: "url-invalid" }));
});

test.each(["azure+https://user:hidden@host/account/c", "azure://account/c?sv=1&sig=hidden"])(
  "credentials in %s are refused and not repeated",
  (location) => {
    expect(() => parseAzureLocation(location)).toThrow(expect.objectContaining({ code: "credentials-in-url" }));
    expect(() => parseAzureLocation(location)).not.toThrow(/hidden/);
  },
);

test("credentials come from the environment, for their own account only", () => {
  const key = "a2V5";
  expect(azureEnvironment("me", {})).toEqual({ credentials: undefined, endpoint: undefined });
  expect(azureEnvironment("me", { AZURE_STORAGE_KEY: key }).credentials).toEqual({ kind: "key", key });
  const mine = { AZURE_STORAGE_ACCOUNT: "me", AZURE_STORAGE_SAS_TOKEN: "?sig=x" };
  expect(azureEnvironment("me", mine).credentials).toEqual({ kind: "sas", token: "?sig=x" });
  expect(azureEnvironment("you", mine).credentials).toBeUndefined();
  const AZURE_STORAGE_CONNECTION_STRING = `DefaultEndpointsProtocol=https;AccountName=me;AccountKey=${key}==;EndpointSuffix=core.chinacloudapi.cn`;
  expect(azureEnvironment("me", { AZURE_STORAGE_CONNECTION_STRING })).toEqual({
    credentials: { kind: "key", key: `${key}==` },
    endpoint: "https://me.blob.core.chinacloudapi.cn",
  });
  expect(azureEnvironment("you", { AZURE_STORAGE_CONNECTION_STRING }).credentials).toBeUndefined();
  const shared = {
    AZURE_STORAGE_CONNECTION_STRING: "BlobEndpoint=https://x.example/me;SharedAccessSignature=sv=1&sig=a%3D",
  };
  expect(azureEnvironment("me", shared)).toEqual({
    credentials: { kind: "sas", token: "sv=1&sig=a%3D" },
    endpoint: "https://x.example/me",
  });
  for (const environment of [{ AZURE_STORAGE_KEY: "no base64!" }, { AZURE_STORAGE_CONNECTION_STRING: "nothing" }]) {
    expect(() => azureEnvironment("me", environment)).toThrow(expect.objectContaining({ code: "credentials-invalid" }));
  }
});

const blob = (name: string): string =>
  `<Blob>${name}<Properties><Creation-Time>x</Creation-Time><Last-Modified>Wed, 09 Sep 2009 09:20:02 GMT</Last-Modified>` +
  "<Etag>0x8</Etag><Content-Length>7</Content-Length></Properties></Blob>";

const page = (inside: string): Buffer =>
  Buffer.from(`\uFEFF<?xml version="1.0"?><EnumerationResults ContainerName="c"><Blobs>${inside}`);

test("a listing is read, with names that XML cannot hold", () => {
  const last = `${blob("<Name>a&amp;b</Name>")}${blob('<Name Encoded="true">a%EF%BF%BFb</Name>')}</Blobs><NextMarker />`;
  const lastModified = Date.UTC(2009, 8, 9, 9, 20, 2);
  expect(parseBlobListing(page(last), "x")).toEqual({
    blobs: [
      { name: "a&b", bytes: 7, lastModified },
      { name: "a\uFFFFb", bytes: 7, lastModified },
    ],
    marker: undefined,
  });
  expect(parseBlobListing(page("</Blobs><NextMarker>2!x</NextMarker>"), "x")).toEqual({ blobs: [], marker: "2!x" });
});

test("a listing that is none is a FormatError, whatever it holds", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, inside) => {
      const text = `${before}<EnumerationResults><Blob><Name>${inside}</Name></Blob></EnumerationResults>`;
      expect(() => parseBlobListing(Buffer.from(text), "azure://a/b")).toThrow(
        expect.objectContaining({ code: "azure-listing-invalid" }),
      );
    }),
  );
});

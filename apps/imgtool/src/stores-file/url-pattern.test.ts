/** Which section of stores.conf is for which URL: what a credential is sent to hangs on it. */
import { ConfigError } from "@imgtool/core";
import { expect, test } from "vitest";
import { compareSpecificity, matchesUrl, parseUrlPattern } from "./url-pattern.ts";

test.each([
  ["https://example.org/*", "https://example.org/store", true],
  ["https://example.org/*", "https://EXAMPLE.org:443/store", true],
  ["https://example.org/*", "https://user:secret@example.org/a?token=1", true],
  ["https://example.org", "https://example.org/a/b", true],
  ["https://example.org/*", "http://example.org/store", false],
  ["https://example.org/*", "https://example.org:8443/store", false],
  ["https://example.org/*", "https://example.org.evil.example/store", false],
  ["https://example.org/*", "https://evil.example/https://example.org/store", false],
  ["https://example.org/*", "https://example.org@evil.example/store", false],
  ["https://*.example.org/*", "https://a.b.example.org/store", true],
  ["https://*.example.org/*", "https://example.org/store", false],
  ["https://*.example.org/*", "https://evilexample.org/store", false],
  ["https://example.org/images", "https://example.org/images/1.caibx", true],
  ["https://example.org/images", "https://example.org/images-of-others/1.caibx", false],
  ["https://example.org/images/*", "https://example.org/images/../other/1.caibx", false],
  ["https://example.org/images/*", "https://example.org/images/%2e%2e/other/1.caibx", false],
  ["https://example.org/*/public/*.caibx", "https://example.org/a/b/public/c/1.caibx", true],
  ["https://example.org/*/public/*.caibx", "https://example.org/public/1.caibx", false],
  ["https://example.org/a*a", "https://example.org/a", false],
  ["https://[::1]:8080/*", "https://[0:0::1]:8080/store", true],
  ["s3://bucket/images/*", "s3://bucket/images/store", true],
  ["s3://bucket/images/*", "s3://bucket2/images/store", false],
  ["sftp://host/*", "sftp://user@host/srv/store", true],
  ["sftp://host/*", "host:/srv/store", false],
])("%s for %s: %s", (pattern, url, expected) => {
  expect(matchesUrl(parseUrlPattern(pattern, "stores.conf:1"), url)).toBe(expected);
});

test("the most specific pattern is first", () => {
  const sorted = [
    "https://a.example.org/images/v1",
    "https://a.example.org/images/*",
    "https://a.example.org/*",
    "https://*.a.example.org/images/*",
    "https://*.example.org/images/much/longer/*",
    "https://*.example.org/*",
  ];
  const patterns = [...sorted].reverse().map((text) => parseUrlPattern(text, "stores.conf:1"));
  expect(patterns.sort(compareSpecificity).map(({ text }) => text)).toEqual(sorted);
});

test.each([
  "example.org",
  "https://",
  "https://example.*/x",
  "https://*",
  "https://a*.org/",
  "https://user:secret@host/*",
])("%s is no pattern", (text) => {
  expect(() => parseUrlPattern(text, "stores.conf:7")).toThrow(ConfigError);
  expect(() => parseUrlPattern(text, "stores.conf:7")).toThrow(/^stores.conf:7: (?!.*secret)/);
});

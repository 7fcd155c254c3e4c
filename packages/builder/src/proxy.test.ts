import { expect, test } from "vitest";
import { proxyVariables } from "./proxy.ts";

const none = { proxyUrl: undefined, proxyExclude: [] };

test("programs get the project's proxy by all names that they know it by", () => {
  expect(proxyVariables(none, {})).toEqual({});
  expect(proxyVariables({ proxyUrl: "http://proxy:3128", proxyExclude: ["host", "other"] }, { no_proxy: "x" })).toEqual(
    {
      http_proxy: "http://proxy:3128",
      https_proxy: "http://proxy:3128",
      HTTP_PROXY: "http://proxy:3128",
      HTTPS_PROXY: "http://proxy:3128",
      no_proxy: "host,other",
      NO_PROXY: "host,other",
    },
  );
});

test("what the caller has set stays where the project's proxy is the caller's", () => {
  const caller = { http_proxy: "http://a", HTTPS_PROXY: "http://b", NO_PROXY: "localhost" };
  expect(proxyVariables({ ...none, proxyUrl: "http://a" }, caller)).toEqual({
    http_proxy: "http://a",
    HTTP_PROXY: "http://a",
    https_proxy: "http://b",
    HTTPS_PROXY: "http://b",
    no_proxy: "localhost",
    NO_PROXY: "localhost",
  });
  expect(proxyVariables({ ...none, proxyUrl: "http://c" }, caller)).toMatchObject({
    http_proxy: "http://c",
    HTTPS_PROXY: "http://c",
  });
});

import { writeFileSync } from "node:fs";
import { temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { findInNetrc, ftpCredentials } from "./credentials.ts";
import { isFtpLocation, parseFtpLocation } from "./location.ts";

test.each([
  ["ftp://host/a/b", { host: "host", port: 21, isSecure: false, path: "a/b", user: undefined, password: undefined }],
  ["ftps://HOST:2121/a/b/", { host: "host", port: 2121, isSecure: true, path: "a/b" }],
  ["ftp://host//srv/x", { path: "/srv/x" }],
  ["ftp://host/%2Fsrv/x", { path: "/srv/x" }],
  ["ftp://host", { path: "" }],
  [
    "ftp://me:pa%3Ass@[::1]:21/a%20b",
    { host: "::1", user: "me", password: "pa:ss", path: "a b", shown: "ftp://[::1]:21/a%20b" },
  ],
])("%s is understood", (location, expected) => {
  expect(isFtpLocation(location)).toBe(true);
  expect(parseFtpLocation(location)).toMatchObject(expected);
});

test.each([
  "ftp://host/a%0D%0ADELE%20x",
  "ftp://host/a%0ab",
  "ftp://host/a%00",
  "ftp://us%0Aer@host/a",
  "ftp://user:pa%0D%0Ass@host/a",
  "ftp://host/a/../../etc",
  "ftp://host/%2e%2e/etc",
  "ftp://host/a?b",
  "ftp://host/a#b",
  "ftp://host:99999/a",
  "ftp:///a",
  "ftp://host/%zz",
])("%s is refused", (location) => {
  expect(() => parseFtpLocation(location)).toThrow(expect.objectContaining({ code: "url-invalid" }));
});

/** What is understood of a location, or the error that it is not. */
function outcome(location: string): { readonly commands: string; readonly shown: string; readonly code?: unknown } {
  try {
    const { path, user, password, shown } = parseFtpLocation(location);
    return { commands: `${path}${user}${password}`, shown };
  } catch (error) {
    return { commands: "", shown: JSON.stringify([String(error), error]), code: (error as { code: unknown }).code };
  }
}

test("no location, valid or not, brings a line's end into a command or its password into a message", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (path, tail) => {
      const { commands, shown, code = "url-invalid" } = outcome(`ftp://user:hid-den@host/${path}%0${tail}`);
      expect(commands).not.toMatch(/[\r\n\0]/);
      expect(shown).not.toContain("hid-den");
      expect(code).toBe("url-invalid");
    }),
  );
});

const netrc = `# machine host login comment password none
machine other login me password "a \\"b\\" c"
macdef init
machine host login macro password no

machine HOST
  login first
  password one
machine host login second password two account x
default login anyone password mail@`;

test("the entry of ~/.netrc for a host and a user is found", () => {
  expect(findInNetrc(netrc, "host")).toEqual({ user: "first", password: "one" });
  expect(findInNetrc(netrc, "host", "second")).toEqual({ user: "second", password: "two" });
  expect(findInNetrc(netrc, "other")).toEqual({ user: "me", password: 'a "b" c' });
  expect(findInNetrc(netrc, "elsewhere")).toEqual({ user: "anyone", password: "mail@" });
  expect(findInNetrc(netrc, "host", "third")).toBeUndefined();
  expect(findInNetrc("machine", "host")).toBeUndefined();
});

test("user and password come from the URL, ~/.netrc, the environment, or are anonymous", () => {
  using folder = temporaryFolder();
  const place = parseFtpLocation("ftp://host/x");
  const environment = { HOME: folder.path, FTP_USER: "variable", FTP_PASSWORD: "secret" };
  expect(ftpCredentials(place, { HOME: folder.path })).toEqual({ user: "anonymous", password: "imgtool@" });
  expect(ftpCredentials(place, environment)).toEqual({ user: "variable", password: "secret" });
  writeFileSync(folder.join(".netrc"), "machine host login file password word");
  expect(ftpCredentials(place, environment)).toEqual({ user: "file", password: "word" });
  const other = { ...environment, NETRC: folder.join("none") };
  expect(ftpCredentials(place, other)).toEqual({ user: "variable", password: "secret" });
  expect(ftpCredentials(parseFtpLocation("ftp://a:b@host/x"), environment)).toEqual({ user: "a", password: "b" });
  // of another user's password none is sent
  expect(ftpCredentials(parseFtpLocation("ftp://a@host/x"), environment)).toEqual({ user: "a", password: "" });
  writeFileSync(folder.join(".netrc"), 'machine host login "a\nDELE x" password b');
  expect(() => ftpCredentials(place, environment)).toThrow(expect.objectContaining({ code: "url-invalid" }));
});

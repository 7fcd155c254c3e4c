/** Which locations are on other machines, and that none of them becomes an option. */
import { expect, test } from "vitest";
import { defaultStoreLocation, openStore, openWriteStore } from "../open.ts";
import { isSshLocation, parseSshLocation } from "./ssh-location.ts";

test("locations are told apart as casync does", () => {
  for (const location of ["host:x", "user@host:x", "a.b-c_d:/x", "ssh://host/x", "SSH://host:22/x"]) {
    expect([location, isSshLocation(location)]).toEqual([location, true]);
  }
  for (const location of [
    "x",
    "/a:b",
    "./a:b",
    "a/b:c",
    "http://host/x",
    "https://host:1/x",
    "file:///x",
    "s3://b/x",
  ]) {
    expect([location, isSshLocation(location)]).toEqual([location, false]);
  }
});

function parse(location: string): unknown {
  return Object.values(parseSshLocation(location));
}

test("locations are taken apart", () => {
  expect(parse("host:x y")).toEqual(["host", undefined, "x y"]);
  expect(parse("me@host:/srv/x")).toEqual(["me@host", undefined, "/srv/x"]);
  expect(parse("ssh://host/srv/x%20y")).toEqual(["host", undefined, "/srv/x y"]);
  expect(parse("ssh://me@host:2222/~/x")).toEqual(["me@host", 2222, "x"]);
  expect(parse("ssh://[fe80::1%eth0]:22/x")).toEqual(["fe80::1%eth0", 22, "/x"]);
});

test("what ssh could take for an option, or a shell for a command, is refused", () => {
  for (const location of [
    "-oProxyCommand=x:y",
    "-F:x",
    "ssh://-oProxyCommand=evil/x",
    "ssh://-oProxyCommand=evil@host/x",
    "ssh://host -oProxyCommand=evil/x",
    "ssh://ho;st/x",
    "ssh://$(id)/x",
    "ssh://host:22x/x",
    "ssh://host:-1/x",
    "ssh://host:0/x",
    "ssh://host:65536/x",
    "ssh:///x",
    "ssh://host",
    "host:",
    "host:a\nb",
    "ssh://host/%00",
    "ssh://host/%zz",
  ]) {
    expect(() => parseSshLocation(location), location).toThrow(
      expect.objectContaining({ code: "ssh-location-invalid", exitCode: 2 }),
    );
  }
});

test("the store of an index on another machine is beside it", () => {
  expect(defaultStoreLocation("host:x.caidx")).toBe("host:default.castr");
  expect(defaultStoreLocation("me@host:/srv/x.caidx")).toBe("me@host:/srv/default.castr");
  expect(defaultStoreLocation("ssh://me@host:22/srv/a b/x.caidx")).toBe("ssh://me@host:22/srv/a%20b/default.castr");
  expect(defaultStoreLocation("ssh://[::1]/~/x.caidx")).toBe("ssh://[::1]/~/default.castr");
});

test("such a store is opened for reading only, and not reached before it is read", async () => {
  const store = await openStore("host.invalid:store");
  expect(store.location).toBe("host.invalid:store");
  await store.close();
  await expect(openWriteStore("host:store")).rejects.toMatchObject({ code: "store-read-only" });
});

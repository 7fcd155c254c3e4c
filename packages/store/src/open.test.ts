import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  defaultStoreLocation,
  fetchStoredFile,
  isRemoteLocation,
  isStoredFile,
  openPruneStore,
  openStore,
  openWriteStore,
  shownLocation,
  storedFileBelow,
} from "./index.ts";

test("the default store lies beside the index", () => {
  expect(
    [
      "image.caibx",
      "/srv/images/v1/image.caidx",
      "https://user:word@host/images/v1/image.caibx",
      "http://host/image.caibx?signature=a%2Fb#top",
      "gs://bucket/v1/image.caibx",
      "azure://account/container/image.caibx",
      "ftp://host/image.caibx",
    ].map(defaultStoreLocation),
  ).toEqual([
    "default.castr",
    "/srv/images/v1/default.castr",
    "https://user:word@host/images/v1/default.castr",
    "http://host/default.castr?signature=a%2Fb",
    "gs://bucket/v1/default.castr",
    "azure://account/container/default.castr",
    "ftp://host/default.castr",
  ]);
});

test("a location finds its driver", async () => {
  using folder = temporaryFolder();
  expect((await openStore(folder.path)).location).toBe(folder.path);
  expect((await openStore(`file://${folder.path}`)).location).toBe(folder.path);
  expect((await openPruneStore(folder.join("new"), { create: true })).location).toBe(folder.join("new"));
  const http = await openStore("HTTPS://user:word@host/store");
  expect(http.location).toBe("https://host/store");
  await http.close();
});

test.each([
  ["s3://bucket/store", "s3://bucket/store"],
  ["gs://bucket/store", "gs://bucket/store"],
  ["gs+https://host/bucket/store", "gs+https://host/bucket/store"],
  ["azure://account/container/store", "azure://account/container/store"],
  ["azure+http://host:10000/account/container/store", "azure+http://host:10000/account/container/store"],
  ["sftp://user@host/store", "sftp://user@host/store"],
  ["FTP://user:word@host/store", "FTP://host/store"],
  ["ftps://user:word@host:2121/store", "ftps://host:2121/store"],
])("%s can be read, written, listed and pruned", async (location, shown) => {
  expect([isRemoteLocation(location), isStoredFile(location)]).toEqual([true, true]);
  for (const open of [openStore, openWriteStore, openPruneStore]) {
    const store = await open(location);
    expect(store.location).toBe(shown);
    await store.close();
  }
});

test("a URL that no driver takes is no path, and is refused", async () => {
  for (const location of ["s4://x", "rsync://host/x", "HTTPZ://host/x", "webdav://host/x"]) {
    expect(isRemoteLocation(location)).toBe(true);
    for (const open of [openStore, openWriteStore, openPruneStore])
      await expect(open(location)).rejects.toMatchObject({ code: "store-scheme-unknown", exitCode: 2 });
  }
});

test("names of files are what the location's driver takes them for", async () => {
  expect(storedFileBelow("gs://bucket/v1/", "a b%.caibx")).toBe("gs://bucket/v1/a b%.caibx");
  expect(storedFileBelow("ftp://host/v1", "a b%.caibx")).toBe("ftp://host/v1/a%20b%25.caibx");
  expect(shownLocation("ftps://user:word@host/x@y")).toBe("ftps://host/x@y");
  expect(shownLocation("https://user:word@host/x?signature")).toBe("https://host/x");
  expect(shownLocation("user@host:path")).toBe("user@host:path");
});

test.each([
  ["/path | https://user:word@a/x?sig=word|https://user:word@b/y", "/path | https://a/x|https://b/y"],
  ["https://user:word@[::/x?word", "https://[::/x"],
  ["azure+https://user:word@host/account/c?sig=word", "azure+https://host/account/c"],
  ["s3://key:word@bucket/a b", "s3://bucket/a b"],
  ["gs://bucket/a?b", "gs://bucket/a?b"],
  ["sftp://user@host/x", "sftp://user@host/x"],
  ["ssh://user:word@host/x@y", "ssh://user@host/x@y"],
])("%s is shown without what nobody else may know", (location, shown) => {
  expect(shownLocation(location)).toBe(shown);
});

test("a file is not fetched from a location that has no driver", async () => {
  await expect(fetchStoredFile("http://host/x", 1)).rejects.toMatchObject({ code: "store-scheme-unknown" });
});

test("a location without a driver is an error that says what there is", async () => {
  await expect(openStore("gopher://host/store")).rejects.toMatchObject({ code: "store-scheme-unknown", exitCode: 2 });
});

import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { defaultStoreLocation, openStore, openPruneStore } from "./index.ts";

test("the default store lies beside the index", () => {
  expect(
    [
      "image.caibx",
      "/srv/images/v1/image.caidx",
      "https://user:word@host/images/v1/image.caibx",
      "http://host/image.caibx?signature=a%2Fb#top",
    ].map(defaultStoreLocation),
  ).toEqual([
    "default.castr",
    "/srv/images/v1/default.castr",
    "https://user:word@host/images/v1/default.castr",
    "http://host/default.castr?signature=a%2Fb",
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

test("a location without a driver is an error that says what there is", async () => {
  await expect(openStore("gopher://host/store")).rejects.toMatchObject({ code: "store-scheme-unknown", exitCode: 2 });
  await expect(openPruneStore("http://host/store")).rejects.toMatchObject({
    code: "store-read-only",
    hint: "run it where the directory is that the server serves",
  });
});

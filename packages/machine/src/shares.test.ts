import { expect, test } from "vitest";
import { fstabLine, shareServerArguments, sharedFolders, sharesFstab } from "./shares.ts";

test("folders are seen where mkosi has them", () => {
  const settings = {
    runtimeTrees: [
      { source: "/a", target: "" },
      { source: "/b", target: "sub/b" },
      { source: "/c", target: "/opt/c" },
      { source: "/d", target: "." },
    ],
    runtimeHome: true,
    runtimeBuildSources: { sources: [{ source: "/project", target: "" }], buildDirectory: "/build" },
  };
  expect(sharedFolders(settings, "/home/me").map(({ source, target }) => `${source}:${target}`)).toEqual([
    "/project:/work/src",
    "/build:/work/build",
    "/a:/root/src",
    "/b:/root/src/sub/b",
    "/c:/opt/c",
    "/d:/root/src",
    "/home/me:/root",
  ]);
  expect(sharedFolders({ runtimeTrees: [], runtimeHome: false, runtimeBuildSources: undefined })).toEqual([]);
});

test("the guest's fstab names the folders by their tags, with what 9p needs", () => {
  expect(fstabLine("LABEL=x", "/a b\\c", "ext4")).toBe(
    "LABEL=x /a\\040b\\134c ext4 nofail,x-systemd.before=local-fs.target 0 0\n",
  );
  const folders = [{ source: "/a", target: "/root/src" }];
  expect(sharesFstab(folders, "virtiofs")).toMatch(/^share0 \/root\/src virtiofs nofail,/);
  expect(sharesFstab(folders, "9p")).toMatch(/^share0 \/root\/src 9p trans=virtio,version=9p2000\.L,/);
});

test("both virtiofsds are spoken to in their own way", () => {
  expect(shareServerArguments({ path: "/v", isOld: false }, "/a,b", "/s")).toContain("--shared-dir=/a,b");
  expect(shareServerArguments({ path: "/v", isOld: true }, "/a,b", "/s")[2]).toMatch(/^source=\/a\\,b,sandbox=/);
});

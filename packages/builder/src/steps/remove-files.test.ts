import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { removeFiles } from "./remove-files.ts";

const files = [
  "usr/lib/modules/6.1/vmlinuz-6.1",
  "usr/lib/modules/6.1/kernel/a.ko",
  "usr/lib/modules/6.2/vmlinuz",
  "usr/lib/modules/System.map",
  "usr/share/doc/a/copyright",
  "usr/share/doc/b/.hidden",
  "usr/share/doc/b/c/copyright",
  "etc/motd",
];

function makeTree(tree: string): string {
  for (const file of files) {
    mkdirSync(dirname(`${tree}/${file}`), { recursive: true });
    writeFileSync(`${tree}/${file}`, "");
  }
  symlinkSync("usr/lib", `${tree}/lib`);
  symlinkSync("doc", `${tree}/usr/share/link`);
  symlinkSync("/etc", `${tree}/outside`);
  return tree;
}

const list = (tree: string): string => run("sh", ["-c", 'cd "$0" && find . | sort', tree]);

const peer = `
import pathlib, shutil, sys
for number, pattern in enumerate(sys.argv[2:]):
    for path in list((pathlib.Path(sys.argv[1]) / str(number)).glob(pattern.lstrip("/"))):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
`;

test("patterns name what mkosi's find", async (context) => {
  needPrograms(context, "python3");
  using folder = temporaryFolder();
  const patterns = [
    "/usr/lib/modules/*/vmlinuz*",
    "usr/lib/modules/6.[!1]/*",
    "/lib/modules/*/System.map",
    "/lib/modules/6.?/vmlinuz*",
    "/usr/share/doc/*/*",
    "/usr/share/doc/**/copyright",
    "/usr/share/doc/**",
    "/usr/**/*.ko",
    "/etc/motd",
    "/etc/none/*",
  ];
  const peers = patterns.map((_, number) => makeTree(folder.join(`peer/${number}`)));
  run("python3", ["-c", peer, folder.join("peer"), ...patterns]);
  for (const [number, pattern] of patterns.entries()) {
    const ours = makeTree(folder.join(`ours/${number}`));
    await removeFiles(ours, [pattern]);
    expect([pattern, list(ours)]).toEqual([pattern, list(peers[number] ?? "")]);
  }
});

test("absolute links lead from the image's own root, and nothing leads out of it", async () => {
  using folder = temporaryFolder();
  const tree = makeTree(folder.join("image/tree"));
  writeFileSync(folder.join("image/beside"), "");
  expect(await removeFiles(tree, ["/outside/*", "/../*", "/", "/etc/motd/"])).toBe(1);
  expect(list(tree)).not.toContain("motd");
  expect(list(folder.join("image"))).toContain("beside");
});

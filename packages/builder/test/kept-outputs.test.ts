/** What programs make of the tree is kept with Incremental=, and put back only where they would make the same. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { silentProgress } from "@imgtool/core";
import { needPrograms, needRoot, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { runDepmod } from "../src/boot/depmod.ts";
import type { BuildContext } from "../src/context.ts";
import { digestClosed } from "../src/incremental/closed-digest.ts";
import { runOrRestore } from "../src/incremental/kept-outputs.ts";
import { makeHardwareDatabase } from "../src/steps/hardware-database.ts";
import { testConfig } from "./config.ts";

/** As much of a build as these steps look at; `said` gets what it says. */
function contextOf(folder: TemporaryFolder, incremental: "yes" | "no", said: string[] = []): BuildContext {
  const progress = { ...silentProgress, log: (_: string, message: string) => void said.push(message) };
  const config = testConfig(folder.path, { incremental });
  return { config, tree: folder.join("tree"), progress, signal: undefined } as unknown as BuildContext;
}

function write(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

test("outputs come back as the program left them, until an input or what was there before is another", async () => {
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  let runs = 0;
  const make = async (inputs: string | undefined, incremental: "yes" | "no" = "yes", old = "old"): Promise<string> => {
    rmSync(tree, { recursive: true, force: true });
    for (const name of ["written", "removed", "left"]) write(join(tree, name), old);
    const ran = await runOrRestore(contextOf(folder, incremental), {
      name: "made",
      folder: tree,
      outputs: ["written", "new", "removed", "left", "never"],
      inputs: async () => await Promise.resolve(inputs),
      run: async () => {
        runs++;
        writeFileSync(join(tree, "written"), `of ${inputs}`);
        writeFileSync(join(tree, "new"), "new", { mode: 0o444 });
        rmSync(join(tree, "removed"));
        return await Promise.resolve(true);
      },
    });
    expect(ran).toBe(true);
    return readdirSync(tree)
      .sort()
      .map((name) => `${name}=${readFileSync(join(tree, name), "utf8")}`)
      .join(" ");
  };
  const first = await make("a");
  expect(first).toBe("left=old new=new written=of a");
  expect(await make("a")).toBe(first);
  expect(runs).toBe(1);
  expect(await make("b")).toBe("left=old new=new written=of b");
  // The last one is kept.
  const kept = join(folder.path, "mkosi.cache/incremental/thing~custom~~x86-64");
  expect(readdirSync(kept)).toHaveLength(1);
  expect(await make("b", "yes", "other")).toBe("left=other new=new written=of b");
  expect(runs).toBe(3);
  await make(undefined);
  await make("b", "no", "other");
  expect(runs).toBe(5);
  await make("b", "yes", "other");
  expect(runs).toBe(5);
});

test("a program that could not run is not kept", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  let runs = 0;
  const program = {
    name: "made",
    folder: folder.join("tree"),
    outputs: ["a"],
    inputs: async () => await Promise.resolve("a"),
    run: async () => await Promise.resolve(++runs > 1),
  };
  expect(await runOrRestore(contextOf(folder, "yes"), program)).toBe(false);
  expect(await runOrRestore(contextOf(folder, "yes"), program)).toBe(true);
  expect(runs).toBe(2);
});

test("a folder with a link to elsewhere has no digest of its own", async () => {
  using folder = temporaryFolder();
  write(folder.join("a/b/c"), "1");
  const digest = async (): Promise<string | undefined> => await digestClosed(folder.join("a"), undefined);
  const first = await digest();
  write(folder.join("a/b/c"), "2");
  expect(await digest()).not.toBe(first);
  symlinkSync("/dev/null", folder.join("a/masked"));
  expect(await digest()).toBeDefined();
  symlinkSync("/etc/hostname", folder.join("a/link"));
  expect(await digest()).toBeUndefined();
  expect(await digestClosed(folder.join("a"), undefined, (path) => path.endsWith("/link"))).toBeDefined();
  expect(await digestClosed(folder.join("none"), undefined)).toBe("");
});

test("depmod runs again when a module, a list or a setting has changed, and only then", async (context) => {
  needPrograms(context, "depmod");
  using folder = temporaryFolder();
  const [tree, version] = [folder.join("tree"), "6.1.0-test"];
  const modules = join(tree, "usr/lib/modules", version);
  const sources = new Set(["modules.order", "modules.builtin", "modules.builtin.modinfo"]);
  /** The lists of a tree that is as the former build began with, and whether depmod ran. */
  const lists = async (
    incremental: "yes" | "no",
    change?: () => void,
  ): Promise<{ ran: boolean; files: Record<string, string> }> => {
    for (const name of existsSync(modules) ? readdirSync(modules) : [])
      if (name.startsWith("modules.") && !sources.has(name)) rmSync(join(modules, name));
    change?.();
    const said: string[] = [];
    await runDepmod(contextOf(folder, incremental, said), version, modules, "all");
    const names = readdirSync(modules).filter((name) => name.startsWith("modules."));
    return {
      ran: said.length === 0,
      files: Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(modules, name), "latin1")])),
    };
  };
  const aliases = (name: string): void => write(join(modules, "modules.builtin.modinfo"), `ext4.alias=${name}\0`);
  write(join(modules, "modules.order"), "");
  write(join(modules, "modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
  const first = await lists("yes", () => aliases("one"));
  expect(first.ran).toBe(true);
  expect(await lists("yes")).toEqual({ ...first, ran: false });
  expect(await lists("no")).toEqual(first);
  const second = await lists("yes", () => aliases("two"));
  expect(second.ran).toBe(true);
  expect(second.files["modules.builtin.alias.bin"]).not.toBe(first.files["modules.builtin.alias.bin"]);
  expect(second).toEqual(await lists("no"));
  expect((await lists("yes", () => write(join(tree, "etc/depmod.d/a.conf"), "search built-in\n"))).ran).toBe(true);
  expect((await lists("yes")).ran).toBe(false);
  // The kernel lies there, too, and its sources.
  expect((await lists("yes", () => symlinkSync("/boot/vmlinuz", join(modules, "vmlinuz")))).ran).toBe(false);
  // Whatever it leads to may change unseen.
  expect((await lists("yes", () => symlinkSync("/elsewhere", join(modules, "extra")))).ran).toBe(true);
  expect((await lists("yes")).ran).toBe(true);
});

test("the hardware database is made again when a source or the program has changed, and only then", async (context) => {
  needRoot(context);
  needPrograms(context, "busybox", "bwrap");
  using folder = temporaryFolder();
  const inTree = (path: string): string => folder.join("tree", path);
  mkdirSync(inTree("usr/bin"), { recursive: true });
  copyFileSync("/usr/bin/busybox", inTree("usr/bin/busybox"));
  symlinkSync("busybox", inTree("usr/bin/sh"));
  const count = 'echo run >> "/usr/runs"';
  const script = `cd /usr/lib/udev; rm -f hwdb.bin; busybox cat hwdb.d/* /etc/udev/hwdb.d/* > hwdb.bin; ${count}`;
  write(inTree("usr/bin/systemd-hwdb"), `#!/usr/bin/sh\n${script}\n`);
  chmodSync(inTree("usr/bin/systemd-hwdb"), 0o755);
  const library = inTree("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so");
  write(library, "257");
  const source = inTree("usr/lib/udev/hwdb.d/a.hwdb");
  const own = inTree("etc/udev/hwdb.d/b.hwdb");
  write(source, "1");
  write(own, "one");
  const make = async (): Promise<string> => {
    rmSync(inTree("usr/lib/udev/hwdb.bin"), { force: true });
    await makeHardwareDatabase(contextOf(folder, "yes"));
    const runs = readFileSync(inTree("usr/runs"), "utf8").split("\n").length - 1;
    return `${readFileSync(inTree("usr/lib/udev/hwdb.bin"), "utf8")} after ${runs}`;
  };
  expect(await make()).toBe("1one after 1");
  expect(await make()).toBe("1one after 1");
  write(source, "2");
  expect(await make()).toBe("2one after 2");
  write(own, "two");
  expect(await make()).toBe("2two after 3");
  write(library, "258");
  expect(await make()).toBe("2two after 4");
  expect(await make()).toBe("2two after 4");
  rmSync(own);
  symlinkSync("/usr/lib/elsewhere", own);
  write(inTree("usr/lib/elsewhere"), "linked");
  expect(await make()).toBe("2linked after 5");
  write(inTree("usr/lib/elsewhere"), "changed");
  expect(await make()).toBe("2changed after 6");
});

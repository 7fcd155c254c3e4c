/**
 * A distribution of four packages, for every package manager alike: what the base of a distribution is,
 * a shell, a library, and a tool that depends on it and is set up by a script.
 * @module
 */
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findProgram } from "../needs.ts";

export interface TestPackage {
  readonly name: string;
  readonly version: string;
  readonly depends: readonly string[];
  /** What its script needs and nothing else of it: with RPM it may go afterwards. */
  readonly scriptDepends?: readonly string[];
  readonly provides: readonly string[];
  /** Contents by path; a path that ends in a slash is a folder, a content that begins with `->` a link. */
  readonly files: Readonly<Record<string, string>>;
  /** Shell commands that run after the package was unpacked. */
  readonly script?: string;
}

/** Stands for the content of a program: a shell with the usual commands, linked statically. */
export const shellProgram = "busybox";

/** The packages; `base` names the one that a distribution installs first. */
export function testPackages(base: readonly string[]): TestPackage[] {
  const [first = "filesystem", ...others] = base;
  const common = { version: "1.0", depends: [], provides: [], files: {} };
  const folders = ["usr/bin/", "usr/lib/", "etc/", "dev/", "proc/", "run/", "sys/", "tmp/", "var/log/", "root/"];
  return [
    {
      ...common,
      name: "filesystem",
      files: { ...Object.fromEntries(folders.map((path) => [path, ""])), bin: "->usr/bin", sbin: "->usr/bin" },
    },
    ...(first === "filesystem" ? [] : [{ ...common, name: first, depends: ["filesystem"] }]),
    ...others.map((name) => ({ ...common, name, depends: ["filesystem"] })),
    {
      ...common,
      name: "shell",
      version: "5.2",
      depends: ["filesystem"],
      provides: ["/bin/sh", "bash", "sh"],
      files: {
        "usr/bin/busybox": shellProgram,
        ...Object.fromEntries(["sh", "bash", "cat", "id", "ls"].map((name) => [`usr/bin/${name}`, "->busybox"])),
      },
    },
    { ...common, name: "library", version: "2.0", depends: ["filesystem"], files: { "usr/lib/library": "library\n" } },
    {
      ...common,
      name: "tool",
      version: "3.1",
      depends: ["library", "shell"],
      files: {
        "usr/bin/tool": "#!/bin/sh\necho tool\n",
        "usr/share/doc/tool/manual": "long\n",
        "usr/share/man/man1/tool.1": "page\n",
      },
      // A process of its own and a pipe need /proc, /dev and a shell that works.
      script: 'echo "set up by $(id -u)" > /etc/tool.conf; echo x > /dev/null',
    },
  ];
}

/** Writes a package's files below a folder. */
export function writeFiles(files: TestPackage["files"], root: string): void {
  for (const [path, content] of Object.entries(files)) {
    const target = join(root, path);
    if (path.endsWith("/")) {
      mkdirSync(target, { recursive: true });
      if (path === "tmp/") chmodSync(target, 0o1777);
      continue;
    }
    mkdirSync(dirname(target), { recursive: true });
    if (content.startsWith("->")) symlinkSync(content.slice(2), target);
    else if (content === shellProgram) copyFileSync(findProgram("busybox") ?? "busybox", target);
    else writeFileSync(target, content);
    if (path.startsWith("usr/bin/") && !content.startsWith("->")) chmodSync(target, 0o755);
  }
}

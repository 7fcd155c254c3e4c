/** What a build gives for updates, judged by systemd-sysupdate(8) with signatures checked: this machine's, or Debian 13's. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { needDebianTree, needPrograms, needRoot, runAsync, temporaryFolder } from "@imgtool/testkit";
import { makeSigningKey, serveFolder } from "@imgtool/testkit/repositories";
import { expect, test } from "vitest";
import { build } from "../src/index.ts";
import { testConfig } from "./config.ts";

const program = "/usr/lib/systemd/systemd-sysupdate";
test(
  "systemd-sysupdate finds and fetches a partition with Verify=yes, and nothing that is signed otherwise",
  { tags: ["system"] },
  async (context) => {
    needRoot(context);
    needPrograms(context, "gpg", "unshare");
    const packages = ["systemd-container", "gpg", "gpgv"];
    const tree = existsSync(program) ? "/" : needDebianTree(context, { release: "trixie", packages });
    using folder = temporaryFolder();
    const key = makeSigningKey(folder.join("key"));
    for (const path of ["web", "target", "systemd", "definitions"]) mkdirSync(folder.join(path));
    copyFileSync(key.binary, folder.join("systemd/import-pubring.gpg"));
    const former = process.env["GNUPGHOME"];
    process.env["GNUPGHOME"] = key.home;
    try {
      for (const version of ["7", "8"]) {
        const config = testConfig(folder.path, {
          format: "disk",
          rootFilesystem: "erofs",
          imageId: "thing",
          imageVersion: version,
          output: `thing_${version}`,
          outputDirectory: folder.join(`out-${version}`),
          splitArtifacts: ["partitions"],
          sign: true,
          openPgpKey: key.name,
        });
        await build(config);
      }
    } finally {
      if (former === undefined) delete process.env["GNUPGHOME"];
      else process.env["GNUPGHOME"] = former;
    }
    await using server = await serveFolder(folder.join("web"));
    writeFileSync(
      folder.join("definitions/50-root.transfer"),
      `[Transfer]
Verify=yes

[Source]
Type=url-file
Path=${server.url}/
MatchPattern=thing_@v.root-x86-64.raw

[Target]
Type=regular-file
Path=${folder.join("target")}
MatchPattern=thing_@v.raw
`,
    );
    // Its keyring has one place, which is given to it in a mount namespace of its own.
    const script = `set -e
      for place in proc dev tmp; do [ "$0" = / ] || mount --rbind "/$place" "$0/$place"; done
      mkdir -p "$0/etc/systemd"
      mount --bind "$1/systemd" "$0/etc/systemd"
      definitions=$1/definitions
      shift
      exec chroot "$0" ${program} --definitions="$definitions" --no-pager "$@"`;
    const update = async (...args: readonly string[]): Promise<string> =>
      await runAsync("unshare", ["--mount", "sh", "-c", script, tree, folder.path, ...args]);
    const publish = (version: string): void => {
      for (const name of readdirSync(folder.join(`out-${version}`)))
        copyFileSync(folder.join(`out-${version}`, name), folder.join("web", name));
    };

    publish("7");
    expect(await update("list")).toMatch(/\b7\b.*candidate/);
    await update("update");
    const partition = "thing_7.root-x86-64.raw";
    expect(readdirSync(folder.join("target"))).toEqual(["thing_7.raw"]);
    expect(readFileSync(folder.join("target/thing_7.raw")).equals(readFileSync(folder.join("out-7", partition)))).toBe(
      true,
    );

    // The next version, under the signature of the one before.
    publish("8");
    copyFileSync(folder.join("out-7/SHA256SUMS.gpg"), folder.join("web/SHA256SUMS.gpg"));
    await expect(update("update")).rejects.toThrow(/signature verification failed/i);
    expect(readdirSync(folder.join("target"))).toEqual(["thing_7.raw"]);
    publish("8");
    await update("update");
    expect(readdirSync(folder.join("target")).sort()).toEqual(["thing_7.raw", "thing_8.raw"]);
  },
);

/**
 * rpm's database in a tree: what is installed, and what of it is kept in an image. rpm keeps it in SQLite
 * since Fedora 33; the older formats are not written by any rpm that a host has today.
 * @module
 */
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseSync as Database } from "node:sqlite";
import { EnvironmentError, systemErrorCode } from "@imgtool/core";
import { pathExists, temporaryName } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import type { InstalledPackage } from "./distribution.ts";
import { emptyFolder, removeFromTree } from "./remove-from-tree.ts";
import { RpmHeader, rpmTags } from "./rpm-header.ts";

// Where Fedora, CentOS Stream 10 and openSUSE have it, and where CentOS Stream 9 has.
const folders: readonly string[] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
// Formats of other rpms: Berkeley DB and openSUSE's ndb.
const otherFormats: readonly string[] = ["Packages", "Packages.db"];

/** The packages in a tree, sorted by name; none when it has no database. @throws EnvironmentError `package-database-unknown` */
export async function listRpmPackages(tree: string): Promise<InstalledPackage[]> {
  const path = await findRpmDatabase(tree);
  if (path === undefined) return [];
  const packages: InstalledPackage[] = [];
  await withDatabase(path, (database) => {
    for (const { header } of headers(database)) {
      const name = header.text(rpmTags.name);
      // A key that signatures were checked with is recorded as a package.
      if (name === undefined || name === "gpg-pubkey") continue;
      packages.push(installedPackage(name, header));
    }
  });
  return packages.sort(
    (a, b) => compare(a.name, b.name) || compare(a.version, b.version) || compare(a.architecture, b.architecture),
  );
}

function installedPackage(name: string, header: RpmHeader): InstalledPackage {
  const epoch = header.number(rpmTags.epoch);
  const version = `${header.text(rpmTags.version) ?? ""}-${header.text(rpmTags.release) ?? ""}`;
  const source = sourceName(header.text(rpmTags.sourcePackage));
  const license = header.text(rpmTags.license);
  const digest = header.text(rpmTags.headerSha256)?.toLowerCase() ?? "";
  return {
    name,
    version: epoch === undefined ? version : `${epoch}:${version}`,
    architecture: header.text(rpmTags.architecture) ?? "noarch",
    ...(source === undefined || source === name ? {} : { source }),
    ...(license === undefined ? {} : { license }),
    ...(/^[0-9a-f]{64}$/.test(digest) ? { headerSha256: digest } : {}),
  };
}

/** `bash` of `bash-5.2.26-1.fc40.src.rpm`. */
function sourceName(file: string | undefined): string | undefined {
  return /^(.+)-[^-]+-[^-]+\.(?:no)?src\.rpm$/.exec(file ?? "")?.[1];
}

/**
 * Gives the database the bytes that do not depend on when it was written: every package was installed at
 * `seconds` since 1970 (where they are given), and rows are stored in their order without free pages.
 */
export async function normalizeRpmDatabase(tree: string, seconds?: number): Promise<void> {
  const path = await findRpmDatabase(tree);
  if (path === undefined) return;
  const compact = temporaryName(path);
  try {
    await withDatabase(path, (database) => {
      database.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE;");
      if (seconds !== undefined) setInstallTimes(database, seconds);
      database.exec(`VACUUM INTO '${compact.replaceAll("'", "''")}'`);
    });
    await rename(compact, path);
  } finally {
    await rm(compact, { force: true });
  }
  for (const name of [`${path}-wal`, `${path}-shm`, join(path, "..", ".rpm.lock")]) await rm(name, { force: true });
}

function setInstallTimes(database: Database, seconds: number): void {
  const update = database.prepare("UPDATE Packages SET blob = ? WHERE hnum = ?");
  for (const { number, header } of headers(database)) {
    header.setNumber(rpmTags.installTime, seconds);
    header.setNumber(rpmTags.installTransaction, seconds);
    update.run(header.bytes, number);
  }
  // The index's keys are numbers in the order of the machine that rpm runs on.
  const key = Buffer.alloc(4);
  key.writeUInt32LE(seconds);
  database.prepare("UPDATE Installtid SET key = ?").run(key);
}

/** Removes the database of packages from a tree. */
export async function cleanRpmMetadata(tree: string): Promise<void> {
  await removeFromTree(tree, [...folders, "var/lib/dnf", "usr/lib/sysimage/libdnf5", "var/lib/zypp", "root/.rpmdb"]);
}

/** Removes what rpm, dnf and zypper leave behind that no two builds have alike, or that no image needs. */
export async function cleanRpmVolatile(tree: string): Promise<void> {
  await removeRpmLogs(tree);
  await removeFromTree(tree, [
    // When packages came, and why: no two builds have it alike.
    "var/lib/dnf",
    ...["", "-shm", "-wal"].map((suffix) => `usr/lib/sysimage/libdnf5/transaction_history.sqlite${suffix}`),
  ]);
  await normalizeRpmDatabase(tree);
}

/** Removes logs, caches and locks. */
export async function removeRpmLogs(tree: string): Promise<void> {
  for (const folder of ["var/cache/dnf", "var/cache/libdnf5", "var/cache/zypp", "var/cache/yum"])
    await emptyFolder(tree, folder);
  const logs = await resolveInTree(tree, "var/log", { followLast: true });
  const names = await readdir(logs).catch((error: unknown) => {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  });
  await removeFromTree(tree, [
    ...names.filter((name) => /^(?:dnf|hawkey|yum|zypper)[.\w]*\.log/.test(name)).map((name) => `var/log/${name}`),
    "var/log/zypp",
    "var/lib/zypp/AnonymousUniqueId",
    "var/lib/zypp/LastDistributionFlavor",
    "run/zypp.pid",
  ]);
  // It begins with the time.
  const automatic = await resolveInTree(tree, "var/lib/zypp/AutoInstalled");
  if (await pathExists(automatic))
    await writeFile(automatic, (await readFile(automatic, "utf8")).replaceAll(/^#.*\n/gm, ""));
}

function* headers(database: Database): Generator<{ readonly number: number; readonly header: RpmHeader }> {
  for (const row of database.prepare("SELECT hnum, blob FROM Packages ORDER BY hnum").all())
    yield { number: Number(row["hnum"]), header: new RpmHeader(row["blob"] as Uint8Array) };
}

async function withDatabase(path: string, use: (database: Database) => void): Promise<void> {
  // Loaded here: most commands need no database, and it takes 5 ms.
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path);
  try {
    use(database);
  } finally {
    database.close();
  }
}

/** The database file of a tree, on this machine; undefined where there is none. @throws EnvironmentError `package-database-unknown` */
export async function findRpmDatabase(tree: string): Promise<string | undefined> {
  for (const folder of folders) {
    const path = await resolveInTree(tree, folder, { followLast: true });
    const database = join(path, "rpmdb.sqlite");
    if (await pathExists(database)) return database;
    for (const name of otherFormats) {
      if (!(await pathExists(join(path, name)))) continue;
      throw new EnvironmentError(
        `the tree's database of packages has a format that imgtool does not read: /${folder}/${name}`,
        {
          code: "package-database-unknown",
          hint: `expected rpmdb.sqlite: convert it in the tree with rpm --rebuilddb and %_db_backend sqlite`,
          data: { folder, found: name, expected: "rpmdb.sqlite" },
        },
      );
    }
  }
  return undefined;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

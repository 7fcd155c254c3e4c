/**
 * The metadata records of one node, read back: order, repetition, ranges and the archive's feature
 * flags are checked.
 * @module
 */
import { compareBytes } from "@imgtool/core";
import { decodeEntry } from "./entry-decode.ts";
import { CatarError, quoteBytes } from "./errors.ts";
import { bounded, cString, textField, u64, type RawRecord } from "./fields.ts";
import { features } from "./flags.ts";
import {
  compareAclEntries,
  takesAttributes,
  type AclEntry,
  type DefaultAcl,
  type NodeKind,
  type NodeMetadata,
  type Xattr,
} from "./node.ts";
import { headerSize, maxAclEntries, maxMetadataSize, maxNameLength, recordTypes, type RecordName } from "./records.ts";

const ranks: ReadonlyMap<string, number> = new Map(Object.keys(recordTypes).map((name, rank) => [name, rank]));
const repeatable: ReadonlySet<RecordName> = new Set([
  "xattr",
  "acl-user",
  "acl-group",
  "acl-default-user",
  "acl-default-group",
]);
const absent = (1n << 64n) - 1n;

// The feature that a record needs, and the kinds of node that can carry it.
const rules: Readonly<Partial<Record<RecordName, { feature: bigint; takes: (kind: NodeKind) => boolean }>>> = {
  user: { feature: features["user-names"], takes: () => true },
  group: { feature: features["user-names"], takes: () => true },
  xattr: { feature: features.xattrs, takes: takesAttributes },
  "acl-user": { feature: features.acl, takes: (kind) => kind !== "symlink" },
  "acl-group": { feature: features.acl, takes: (kind) => kind !== "symlink" },
  "acl-group-obj": { feature: features.acl, takes: (kind) => kind !== "symlink" },
  "acl-default": { feature: features.acl, takes: (kind) => kind === "directory" },
  "acl-default-user": { feature: features.acl, takes: (kind) => kind === "directory" },
  "acl-default-group": { feature: features.acl, takes: (kind) => kind === "directory" },
  selinux: { feature: features.selinux, takes: () => true },
  fcaps: { feature: features.fcaps, takes: (kind) => kind === "file" },
  "quota-projid": { feature: features["quota-projid"], takes: takesAttributes },
};

/** Whether a record belongs to a node's metadata, rather than to its content. */
export function isMetadataRecord(name: RecordName): boolean {
  return name in rules;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Acl = { users: AclEntry[]; groups: AclEntry[] };

/** Collects the records of one node from its ENTRY on. */
export class MetadataReader {
  readonly kind: NodeKind;
  readonly #flags: bigint;
  readonly #metadata: Writable<NodeMetadata>;
  readonly #xattrs: Xattr[] = [];
  #acl: (Acl & { groupObject?: number }) | undefined;
  #defaultAcl: (Writable<DefaultAcl> & Acl) | undefined;
  #last: RecordName = "entry";
  #size = 0;

  /** @throws CatarError when the ENTRY contradicts the flags or itself */
  constructor(entry: RawRecord, flags: bigint) {
    const { kind, metadata } = decodeEntry(entry, flags);
    this.kind = kind;
    this.#flags = flags;
    this.#metadata = { ...metadata };
  }

  /** The metadata of all records so far. */
  finish(): NodeMetadata {
    return {
      ...this.#metadata,
      ...(this.#xattrs.length > 0 ? { xattrs: this.#xattrs } : {}),
      ...(this.#acl === undefined ? {} : { acl: this.#acl }),
      ...(this.#defaultAcl === undefined ? {} : { defaultAcl: this.#defaultAcl }),
    };
  }

  /** Takes the next metadata record. */
  accept(record: RawRecord): void {
    this.#checkPlace(record);
    this.#last = record.name;
    switch (record.name) {
      case "user":
        this.#metadata.user = textField(record, 0, "user name");
        break;
      case "group":
        this.#metadata.group = textField(record, 0, "group name");
        break;
      case "xattr":
        this.#acceptXattr(record);
        break;
      case "acl-user":
        acceptAclEntry((this.#acl ??= { users: [], groups: [] }).users, record);
        break;
      case "acl-group":
        acceptAclEntry((this.#acl ??= { users: [], groups: [] }).groups, record);
        break;
      case "acl-group-obj":
        (this.#acl ??= { users: [], groups: [] }).groupObject = bounded(record, 0, 7, "permissions");
        break;
      case "acl-default":
        this.#acceptDefaultAcl(record);
        break;
      case "acl-default-user":
        acceptAclEntry(this.#defaultAclOf(record).users, record);
        break;
      case "acl-default-group":
        acceptAclEntry(this.#defaultAclOf(record).groups, record);
        break;
      case "selinux":
        this.#metadata.selinux = cString(record, 0, "SELinux label");
        break;
      case "fcaps":
        this.#metadata.capability = record.body;
        break;
      case "quota-projid":
        this.#acceptProjectId(record);
        break;
    }
  }

  #checkPlace(record: RawRecord): void {
    const { name, offset } = record;
    const order = (ranks.get(name) ?? 0) - (ranks.get(this.#last) ?? 0);
    if (order < 0 || (order === 0 && !repeatable.has(name))) {
      throw new CatarError("catar-record-order", "a record is out of order", {
        offset,
        expected: `what may follow ${this.#last}`,
        found: name,
      });
    }
    const rule = rules[name];
    if (rule === undefined || (this.#flags & rule.feature) === 0n || !rule.takes(this.kind)) {
      throw new CatarError("catar-record-unexpected", "a record has no place here", {
        offset,
        expected: `no ${name} on a ${this.kind} with feature flags 0x${this.#flags.toString(16)}`,
        found: name,
      });
    }
    this.#size += headerSize + record.body.length;
    if (this.#size > maxMetadataSize) {
      throw new CatarError("catar-record-size", "the metadata of one node is too large", {
        offset,
        expected: `at most ${maxMetadataSize} bytes`,
        found: `${this.#size} bytes`,
      });
    }
  }

  #acceptXattr(record: RawRecord): void {
    const end = record.body.indexOf(0);
    const name = record.body.subarray(0, Math.max(end, 0));
    if (name.length === 0 || name.length > maxNameLength || !isRecordedXattr(name)) {
      throw new CatarError("catar-xattr-invalid", "the name of an extended attribute is not allowed", {
        offset: record.offset,
        expected: `"user." or "trusted." and more, at most ${maxNameLength} bytes, then NUL`,
        found: quoteBytes(record.body.subarray(0, 64)),
      });
    }
    const previous = this.#xattrs.at(-1);
    if (previous !== undefined && compareBytes(previous.name, name) >= 0) {
      throw new CatarError("catar-record-order", "extended attributes are not sorted", {
        offset: record.offset,
        expected: `a name behind ${quoteBytes(previous.name)}`,
        found: quoteBytes(name),
      });
    }
    this.#xattrs.push({ name, value: record.body.subarray(end + 1) });
  }

  #acceptDefaultAcl(record: RawRecord): void {
    const acl: Writable<DefaultAcl> & Acl = { users: [], groups: [] };
    for (const [index, who] of (["user", "group", "other", "mask"] as const).entries()) {
      if (u64(record, 8 * index) !== absent) acl[who] = bounded(record, 8 * index, 7, "permissions");
    }
    this.#defaultAcl = acl;
  }

  #defaultAclOf(record: RawRecord): Acl {
    if (this.#defaultAcl === undefined) {
      throw new CatarError("catar-record-order", "a default ACL has entries and no head", {
        offset: record.offset,
        expected: "acl-default before them",
        found: record.name,
      });
    }
    return this.#defaultAcl;
  }

  #acceptProjectId(record: RawRecord): void {
    const projectId = bounded(record, 0, 0xffff_ffff, "project id");
    if (projectId === 0) {
      throw new CatarError("catar-field-invalid", "project id 0 is not recorded", {
        offset: record.offset,
        expected: "1 or more",
        found: "0",
      });
    }
    this.#metadata.projectId = projectId;
  }
}

const namespaces: readonly Uint8Array[] = ["user.", "trusted."].map((text) => new TextEncoder().encode(text));

/** Whether archives record an extended attribute of this name: other namespaces are metadata of their own or nothing. */
export function isRecordedXattr(name: Uint8Array): boolean {
  return namespaces.some(
    (prefix) => name.length > prefix.length && compareBytes(name.subarray(0, prefix.length), prefix) === 0,
  );
}

function acceptAclEntry(entries: AclEntry[], record: RawRecord): void {
  const id = bounded(record, 0, 0xffff_fffe, "id");
  const permissions = bounded(record, 8, 7, "permissions");
  const entry: AclEntry =
    record.body.length === 16 ? { id, permissions } : { id, permissions, name: textField(record, 16, "name") };
  const previous = entries.at(-1);
  if (previous !== undefined && compareAclEntries(previous, entry) >= 0) {
    throw new CatarError("catar-record-order", "ACL entries are not sorted", {
      offset: record.offset,
      expected: `an entry behind id ${previous.id}`,
      found: `id ${id}`,
    });
  }
  if (entries.length >= maxAclEntries) {
    throw new CatarError("catar-record-size", "an ACL is too long", {
      offset: record.offset,
      expected: `at most ${maxAclEntries} entries`,
      found: "more",
    });
  }
  entries.push(entry);
}

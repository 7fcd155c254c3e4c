/**
 * The file that keeps a virtual machine's UEFI variables: a firmware volume with a store of
 * authenticated variables, as EDK II's OVMF has it (MdeModulePkg/Include/Guid/VariableFormat.h;
 * UEFI Platform Initialization 1.8, volume 3, section 3.2.1).
 * @module
 */
import { FormatError, parseUuid, swapGuid } from "@imgtool/core";
import { secureBootAttributes, secureBootVariables, efiTime, utf16 } from "./secure-boot-variables.ts";

const storeType = swapGuid(parseUuid("aaf32c78-947b-439a-a180-2e144ec37792"));
/** EFI_SECURE_BOOT_ENABLE_DISABLE, and EFI_CUSTOM_MODE_ENABLE_GUID. */
const secureBootSwitch = swapGuid(parseUuid("f0a30bc7-af08-4556-99c4-001009c93a44"));
const customMode = swapGuid(parseUuid("c076ec0c-7028-4399-a072-71ee5c448b9f"));

const storeHeaderSize = 28;
const variableHeaderSize = 60;
const startOfVariable = 0x55aa;
/** A variable's state: written whole; and what remains of that when it is deleted. */
const added = 0x3f;
const deleted = 0x3c;
/** Kept over a reset and seen by boot services: how firmware keeps its own switches. */
const switchAttributes = 0x03;

interface StoredVariable {
  readonly name: string;
  readonly vendor: Uint8Array;
  readonly attributes: number;
  readonly time?: Uint8Array;
  readonly content: Uint8Array;
}

/**
 * Puts a signature list into PK, KEK and db and switches Secure Boot on: firmware that starts from these
 * variables runs nothing else than what the list's owner has signed.
 * @param template a file of variables, which stays as it is
 * @param seconds since 1970: when the variables were set
 * @throws FormatError `variable-store-invalid` for another format, or where there is no room
 */
export function enrollKeys(template: Uint8Array, list: Uint8Array, seconds: number): Uint8Array {
  const store = Uint8Array.from(template);
  const range = findStore(store);
  const time = efiTime(seconds);
  const variables: StoredVariable[] = [
    ...secureBootVariables.map(({ name, vendor }) => ({
      name,
      vendor,
      attributes: secureBootAttributes,
      time,
      content: list,
    })),
    { name: "SecureBootEnable", vendor: secureBootSwitch, attributes: switchAttributes, content: Uint8Array.of(1) },
    { name: "CustomMode", vendor: customMode, attributes: switchAttributes, content: Uint8Array.of(0) },
  ];
  for (const variable of variables) replace(store, range, variable);
  return store;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Where the variables are. */
function findStore(bytes: Uint8Array): Range {
  const view = viewOf(bytes);
  const signature = String.fromCharCode(...bytes.subarray(40, 44));
  if (bytes.length < 72 || signature !== "_FVH") throw invalid("a firmware volume", "something else");
  const at = view.getUint16(48, true);
  if (at + storeHeaderSize > bytes.length || storeType.some((byte, i) => bytes[at + i] !== byte))
    throw invalid("a store of authenticated variables", "another store");
  const end = at + view.getUint32(at + 16, true);
  if (end > bytes.length) throw invalid(`a store of ${end - at} bytes`, `${bytes.length - at} bytes`);
  return { start: at + storeHeaderSize, end };
}

/** Deletes what has the variable's name and appends it: firmware keeps its variables in the same way. */
function replace(bytes: Uint8Array, { start, end }: Range, variable: StoredVariable): void {
  const view = viewOf(bytes);
  const name = Uint8Array.from([...utf16(variable.name), 0, 0]);
  let at = start;
  while (at + variableHeaderSize <= end && view.getUint16(at, true) === startOfVariable) {
    const [nameSize, size] = [view.getUint32(at + 36, true), view.getUint32(at + 40, true)];
    const next = at + aligned(variableHeaderSize + nameSize + size);
    if (next > end) throw invalid("a variable that ends in the store", `${size} bytes at offset ${at}`);
    const named = bytes.subarray(at + variableHeaderSize, at + variableHeaderSize + nameSize);
    if (equal(named, name) && equal(bytes.subarray(at + 44, at + 60), variable.vendor)) bytes[at + 2] = deleted;
    at = next;
  }
  const length = variableHeaderSize + name.length + variable.content.length;
  if (at + length > end) throw invalid(`room for ${length} bytes more`, `${end - at} bytes`);
  bytes.fill(0, at, at + variableHeaderSize);
  view.setUint16(at, startOfVariable, true);
  bytes[at + 2] = added;
  view.setUint32(at + 4, variable.attributes, true);
  if (variable.time !== undefined) bytes.set(variable.time, at + 16);
  view.setUint32(at + 36, name.length, true);
  view.setUint32(at + 40, variable.content.length, true);
  bytes.set(variable.vendor, at + 44);
  bytes.set(name, at + variableHeaderSize);
  bytes.set(variable.content, at + variableHeaderSize + name.length);
}

/** Not by bits, which make numbers of 2³¹ and more negative: a file says whatever sizes it likes. */
function aligned(length: number): number {
  return Math.ceil(length / 4) * 4;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function invalid(expected: string, found: string): FormatError {
  return new FormatError(`not a file of UEFI variables: expected ${expected}, found ${found}`, {
    code: "variable-store-invalid",
    hint: "start from the variables that the firmware's package brings, OVMF_VARS_4M.fd",
    data: { expected, found },
  });
}

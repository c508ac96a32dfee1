// Package jobspecs is the declarative spec language: the types of the
// documents, a strict loader, defaults, validation, and a JSON Schema.
//
// Flow of Load: files → documents (source.go, yaml.go: a tree of nodes that
// know where they stand) → extends and overlays (extends.go, overlays.go) →
// variables (variables.go) → Go values (decode.go, driven by the struct tags of types.go) → rules over
// several fields (validate_*.go) → references between documents
// (validate_references.go).
//
// Invariants:
//
//   - Nothing is guessed: what is not declared is an error, and so is a value
//     of the wrong type.
//   - All errors of all files are reported at once, each with file, line,
//     column, a stable code, the offending text, and a suggestion where there
//     is one (rule A1). An error never hides behind another, and a rule over
//     several fields is silent where one of them is already wrong.
//   - Load returns either resolved documents (no variables, no extends,
//     defaults filled in) or errors, never both.
//   - No input makes the loader panic or take more than its bounds: 256 KiB
//     per file, 64 levels of nesting.
//
// Overlays: what an environment changes is merged over a document as the
// document is merged over what it extends. With --env NAME a document is, each
// merged over what stands before it:
//
//  1. what it extends, put together in this way,
//  2. the document itself,
//  3. its overlay for NAME.
//
// So an overlay of a base holds for all that extend it, and what these say
// themselves, with or without an overlay of their own, wins over it. A document
// without an overlay for NAME stays as it is, but one document at least must
// have one: a misspelt name never means no overlays. Names in extends are names
// as they are written, before overlays. Variables are expanded in what comes
// out, so that an overlay may use those of its document, of what that extends,
// and of what extends it. An overlay can take nothing away, and a list in it
// replaces the whole list, so that its items must be whole.
//
// Scalars: a string field takes any plain or quoted scalar as it is written:
// `no` is "no", 1.10 is "1.10". A field of another type takes a plain scalar
// of that type; a quoted one is refused unless a variable was put into it.
// Anchors, aliases, merge keys, tags and explicit keys (`?`) are refused:
// `extends` is how documents share fields.
package jobspecs

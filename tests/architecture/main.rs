//! Rules of the house that machines can hold: the layers, the heads of files, the codes of errors, the documents.

mod codes;
mod documents;
mod examples;
mod layers;
mod packaging;
mod sources;
mod templates;

//! Reads the README: its watcher, its commands and its test.

use std::fs;

pub(crate) struct Readme {
    text: String,
    blocks: Vec<Block>,
}

/// A block of code.
struct Block {
    section: String,
    language: String,
    text: String,
}

/// The section that the test follows.
const SECTION: &str = "Write your own";

impl Readme {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(crate::repository().join("README.md")).unwrap();
        Self { blocks: blocks(&text), text }
    }

    /// The watcher that it begins with.
    pub(crate) fn watcher(&self) -> &str {
        &self.blocks.iter().find(|block| block.language == "rust").expect("the README begins with a watcher").text
    }

    /// The commands that lead to a component, in their order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        self.section("console").flat_map(|block| block.text.lines())
    }

    /// The test of the watcher.
    pub(crate) fn test(&self) -> &str {
        &self.section("rust,ignore").next().expect("the README tests its watcher").text
    }

    /// The line of the manifest that the test needs.
    pub(crate) fn dev_dependency(&self) -> &str {
        let start = self.text.find("`inbound-keyvalue = {").expect("the README says what a test needs") + 1;
        self.text[start..].split('`').next().unwrap_or_default()
    }

    fn section(&self, language: &str) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.section == SECTION && block.language == language)
    }
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut section = String::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        } else if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            blocks.push(Block { section: section.clone(), language: language.to_owned(), text });
        }
    }
    blocks
}

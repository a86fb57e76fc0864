//! Writes `src/bindings` from `wit`.

fn main() -> anyhow::Result<()> {
    let path = bindgen::checked_in();
    std::fs::write(&path, bindgen::generate()?)?;
    println!("wrote {}", path.canonicalize()?.display());
    Ok(())
}

//! Writes the pages of the studio as static files into a folder, for the site of lucida-web.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: static_files FOLDER")?);
    for (name, bytes) in lucida_studio::static_files()? {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

//! `lucida kernels`

use anyhow::{Result, bail};
use lucida::explain::{KernelStyle, kernel_sheet, layers_with_kernels};
use lucida::files;
use lucida::plot::Scope;
use lucida::weights::IncludeTop;

use super::tables::{file_name, layer_names};
use super::{Context, FolderJson, open_network};
use crate::cli::Kernels;

pub(super) fn run(arguments: &Kernels, context: Context) -> Result<()> {
    let output = context.output;
    let folder = &arguments.place.of(&arguments.model.about(), "kernels");
    let network = open_network(&arguments.model.spec(IncludeTop::Unneeded))?;
    let layers = match arguments.layer.as_slice() {
        [] => layers_with_kernels(&network),
        some => layer_names(&network, some)?,
    };
    if layers.is_empty() {
        bail!("network {} has no layer with kernels", network.name());
    }
    let style = KernelStyle {
        colormap: arguments.colormap,
        scope: if arguments.shared { Scope::Shared } else { Scope::Each },
        filters: arguments.filters.0,
        channels: arguments.channels.0,
    };
    let names: Vec<String> = layers.iter().map(|layer| format!("kernels_{}.png", file_name(None, layer))).collect();
    let claimed: Vec<&str> = names.iter().map(String::as_str).collect();
    let earlier = files::claim_folder(folder, &claimed, arguments.place.force)?;
    for (layer, name) in layers.iter().zip(&names) {
        kernel_sheet(&network, layer, &style)?.save_png(folder.join(name))?;
    }
    earlier.discard()?;
    if arguments.place.json {
        return output.json(&FolderJson { folder, files: &names });
    }
    output.written(folder, &names.join(", "))
}

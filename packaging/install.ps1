# Installs lucida.exe with its completions, from the archives of a release:
#
#     irm ADDRESS/latest/download/install.ps1 | iex
#
# LUCIDA_INSTALL_URL, LUCIDA_INSTALL_PREFIX, and LUCIDA_INSTALL_VERSION are read from the environment. Run from a file, it
# has options: .\install.ps1 -Version 0.1.0 -Prefix C:\Tools\lucida
# The folder is put on the user's PATH unless -NoPath is given. Windows PowerShell 5.1 or later.
param(
    [string]$Version = $env:LUCIDA_INSTALL_VERSION,
    [string]$Prefix = $env:LUCIDA_INSTALL_PREFIX,
    [string]$Url = $env:LUCIDA_INSTALL_URL,
    [switch]$NoPath
)

# In a function, so that `iex` does not leave its settings in the session.
function Install-Lucida {
    $ErrorActionPreference = "Stop"
    # Windows PowerShell draws a bar per block, which takes longer than the download.
    $ProgressPreference = "SilentlyContinue"

    # The address of the releases. A release writes its own here; the copy in the repository has none.
    $releaseUrl = ""
    if (-not $Url) { $Url = $releaseUrl }
    if (-not $Version) { $Version = "latest" }
    if (-not $Prefix) { $Prefix = "$env:LOCALAPPDATA\Programs\lucida" }
    if (-not $Url) { throw "no address to download from: give the address of the releases, -Url or LUCIDA_INSTALL_URL" }

    # The process may be emulated; PROCESSOR_ARCHITEW6432 then has the machine's own. ARM64 runs the x86-64 program.
    $machine = if ($env:PROCESSOR_ARCHITEW6432) { $env:PROCESSOR_ARCHITEW6432 } else { $env:PROCESSOR_ARCHITECTURE }
    if ($machine -notin "AMD64", "ARM64") { throw "no archive for the architecture $machine" }
    $name = "lucida-x86_64-pc-windows-msvc"
    $from = if ($Version -eq "latest") { "$Url/latest/download" } else { "$Url/download/v$($Version -replace '^v', '')" }

    # Windows PowerShell offers older versions of TLS alone.
    [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
    $scratch = Join-Path ([IO.Path]::GetTempPath()) ([IO.Path]::GetRandomFileName())
    New-Item -ItemType Directory $scratch | Out-Null
    try {
        Write-Host "downloading $from/$name.zip"
        Invoke-WebRequest -UseBasicParsing "$from/$name.zip.sha256" -OutFile "$scratch\sum"
        Invoke-WebRequest -UseBasicParsing "$from/$name.zip" -OutFile "$scratch\archive.zip"
        $expected = ((Get-Content "$scratch\sum" -TotalCount 1) -split " ")[0]
        $actual = (Get-FileHash "$scratch\archive.zip" -Algorithm SHA256).Hash
        # Without regard to case, as -ne compares.
        if ($actual -ne $expected) { throw "the SHA-256 of $name.zip is $actual, not $expected; nothing was installed" }
        Expand-Archive "$scratch\archive.zip" $scratch
        & "$scratch\$name\lucida.exe" --version | Out-Null
        if ($LASTEXITCODE -ne 0) { throw "lucida.exe does not run on this machine" }
        New-Item -ItemType Directory -Force $Prefix | Out-Null
        Copy-Item -Recurse -Force "$scratch\$name\*" $Prefix
    }
    finally {
        Remove-Item -Recurse -Force $scratch
    }

    Write-Host "installed $(& "$Prefix\lucida.exe" --version) in $Prefix"
    $path = [Environment]::GetEnvironmentVariable("Path", "User")
    if (-not $NoPath -and ($path -split ";") -notcontains $Prefix) {
        [Environment]::SetEnvironmentVariable("Path", (@($path, $Prefix) -ne "" -join ";"), "User")
        Write-Host "$Prefix is on the PATH of new terminals"
    }
    if (($env:Path -split ";") -notcontains $Prefix) { $env:Path += ";$Prefix" }
    Write-Host "For completions, in your `$PROFILE:  . '$Prefix\completions\_lucida.ps1'"
    Write-Host "Next:  lucida predict photo.jpg    or    lucida demo    or    lucida studio --open"
}

Install-Lucida

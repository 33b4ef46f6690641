"""For plugin authors: conformance tests (`conformance`), live servers (`fixtures`), a reference backend (`tone`)."""

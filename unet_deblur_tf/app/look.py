"""How the page looks: a calm theme with the fonts of the visitor's system."""

STYLE = """
:root { --strength: 1; }
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
footer { display: none !important; }
#options, #actions { align-items: center; flex-wrap: wrap; gap: 12px 24px; }
#options > *, #actions > button { flex: 0 0 auto !important; width: auto !important; min-width: 0 !important; }
#options > :last-child { margin-left: auto; }
#options .block, #actions .block, #actions .form { border-width: 0; background: none; box-shadow: none; padding: 0; }
#strength { flex: 1 1 260px !important; }
#messages ul { margin: 0; padding-left: 1.2em; }
#messages .failed, #failure { color: var(--error-text-color); }
#hint { color: var(--body-text-color-subdued); text-align: center; font-size: var(--text-sm); }
/* The restored picture lies over the blurred one, so that its opacity is the strength of the correction. */
#slider img.fixed { opacity: var(--strength); }
@media (max-width: 640px) {
    #options > *, #actions > button { flex: 1 1 100% !important; }
}
"""


def theme():
    """Returns a `gradio.themes.Base` whose fonts are on the visitor's machine."""
    import gradio as gr

    return gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )

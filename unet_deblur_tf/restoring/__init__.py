"""From a blurred picture, photo file or video to a restored one."""

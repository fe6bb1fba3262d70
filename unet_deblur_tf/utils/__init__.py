"""What has nothing to do with pictures: files, progress bars, hardware, how a command starts and fails."""

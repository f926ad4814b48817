"""A gray patch grows over pixels that do not matter; the score stays. Which heat maps change?"""

"""Who finds the one pixel that decides, as images grow?"""
